//! Where the director is tried as its users run it, and where it is measured.
//!
//! [`lab`] is a network of namespaces with real clients and real servers: it knows hosts, links and
//! processes, and refuses to know how packets are decided about. The benchmark's suites measure: [`testrun`]
//! the data plane alone. [`figures`] is what they yield.

pub mod figures;
pub mod lab;
pub mod testrun;
pub mod uml;
