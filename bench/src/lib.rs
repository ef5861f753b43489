//! Where the balancer is tried as its users run it: the [`lab`], a network of namespaces with real clients
//! and real servers. Refuses to know how packets are decided about; it knows hosts, links and processes.

pub mod lab;
