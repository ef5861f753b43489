//! Where the director is tried as its users run it, and where it is measured.
//!
//! [`lab`] is a network of namespaces with real clients and real servers: it knows hosts, links and
//! processes, and refuses to know how packets are decided about. [`testrun`] measures the data plane alone.

pub mod lab;
pub mod testrun;
pub mod uml;
