//! Where the director is tried as its users run it, and where it is measured.
//!
//! [`lab`] is a network of namespaces with real clients and real servers: it knows hosts, links and
//! processes, and refuses to know how packets are decided about. The benchmark's suites measure: [`testrun`]
//! the data plane alone, [`veth`] over wires, [`requests`] with real programs, [`memory`] what it takes, [`control`] how soon it is told. [`figures`] is what they
//! yield.

pub mod control;
mod cpu;
pub mod figures;
pub mod lab;
pub mod memory;
pub mod requests;
pub mod testrun;
pub mod uml;
pub mod veth;
