//! Services by mark, in a real director: many addresses and ports, and reloads that change what a class names.

use std::net::{IpAddr, Ipv4Addr};

use super::config::metric;
use lb_bench::lab::OneArm;

const SECOND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 51);

/// A service of mark 7 for these addresses and ports, and one of an address behind it.
fn config(addresses: &str, ports: &str) -> String {
    format!(
        "[director]\ninterfaces = [\"eth0\"]\nmetrics = \"127.0.0.1:9105\"\n\
         [[class]]\nmark = 7\naddress = {addresses}\nprotocol = \"tcp\"\nports = {ports}\ninterface = \"eth0\"\n\
         [[virtual_service]]\nmark = 7\nscheduler = \"rr\"\ncheck = {{ type = \"tcp\", port = 80 }}\n\
         real_server = [{{ address = \"10.0.0.11\" }}, {{ address = \"10.0.0.12\" }}]\n\
         [[virtual_service]]\nprotocol = \"tcp\"\naddress = \"10.0.0.50:0\"\nscheduler = \"rr\"\n\
         real_server = [{{ address = \"10.0.0.13\" }}]\n"
    )
}

#[test]
fn a_service_by_mark_is_served_on_its_addresses_and_ports_as_they_change() {
    let lab = OneArm::new("classes", 3).unwrap();
    let _servers = [80, 8080].map(|port| lab.http_servers(port).unwrap());
    for host in &lab.real_servers {
        host.carry_service_address(IpAddr::V4(SECOND)).unwrap();
    }
    let both = config("[\"10.0.0.50\", \"10.0.0.51\"]", "[\"80\"]");
    let mut director = lab.director.director(&both).unwrap();
    let served = |url: &str| -> Vec<String> {
        let answers = lab.client.curl(url, 4).unwrap();
        assert_eq!(answers.failed(), 0, "{url}: {:?}", answers.failures().next());
        answers.bodies().map(str::to_owned).collect()
    };
    let placed = || {
        let addresses = lab.director.run("ip", ["-4", "address", "show", "dev", "eth0"]).unwrap();
        [Ipv4Addr::new(10, 0, 0, 50), SECOND].map(|address| addresses.contains(&format!("{address}/32")))
    };
    assert_eq!(placed(), [true, true]);
    assert_eq!(served("http://10.0.0.50/"), ["rs2", "rs1", "rs2", "rs1"]);
    assert_eq!(served("http://10.0.0.51/"), ["rs2", "rs1", "rs2", "rs1"]);
    assert_eq!(served("http://10.0.0.50:8080/"), ["rs3"; 4]);
    let connections =
        |director| metric(director, "lb_service_connections_total{service=\"FWM 7\",protocol=\"fwm\"}");
    assert_eq!(connections(&lab.director), 8);

    let one = config("\"10.0.0.50\"", "[\"80\", \"8080\"]");
    let said = director.reload(&one).unwrap();
    assert!(!said.contains("not reloaded"), "{said}");
    assert_eq!(placed(), [true, false]);
    assert_eq!(served("http://10.0.0.50:8080/"), ["rs2", "rs1", "rs2", "rs1"]);

    let said = director.reload(&both.replace("interface = \"eth0\"", "interface = \"eth7\"")).unwrap();
    assert!(said.contains("not reloaded") && said.contains("eth7"), "{said}");
    assert_eq!(served("http://10.0.0.50/"), ["rs2", "rs1", "rs2", "rs1"]);

    let said = director.reload(&one).unwrap();
    assert!(!said.contains("not reloaded"), "{said}");

    // A daemon that finds the tables changes nothing.
    director.crash_and_restart().unwrap();
    assert_eq!(served("http://10.0.0.50:8080/"), ["rs2", "rs1", "rs2", "rs1"]);
    assert_eq!(connections(&lab.director), 20);
}
