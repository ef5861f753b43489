//! What stands before a service: lists of sources, and how many new flows it takes.

use super::{SERVICE, check, check_service, parse};

/// `[[virtual_service]]` with these lines from line 5 on.
fn with(lines: &str) -> String {
    format!("{}\n{lines}\n", SERVICE.join("\n"))
}

#[test]
fn a_service_takes_so_many_new_flows() {
    for (lines, expected) in
        [("", 0), ("new_flows_max = 1", 1), ("new_flows_max = 1_000_000_000", 1_000_000_000)]
    {
        assert_eq!(parse("lb.toml", &with(lines)).unwrap().services[0].guard.new_flows_max, expected);
    }
    for value in ["0", "-1", "1000000001"] {
        check_service(
            "new_flows_max",
            value,
            &format!("new_flows_max: {value} is out of range: 1 to 1000000000"),
        );
    }
}

#[test]
fn a_list_has_prefixes_of_the_services_family() {
    let model =
        parse("lb.toml", &with("allow = ['0.0.0.0/0', '192.0.2.1']\ndeny = ['192.0.2.0/31']")).unwrap();
    let guard = &model.services[0].guard;
    let told: Vec<_> = guard.sources().map(|(prefix, is_allowed)| format!("{prefix} {is_allowed}")).collect();
    assert_eq!(told, ["0.0.0.0/0 true", "192.0.2.1/32 true", "192.0.2.0/31 false"]);
    let six = with("deny = ['::/0', 'fd00::/8', '2001:db8::1']").replace("10.0.0.50", "[fd00::50]");
    assert!(parse("lb.toml", &six).is_ok());
    let no_prefix =
        "is not a prefix, such as 192.0.2.0/24, 2001:db8::/32 or an address (names are not looked up)";
    for (prefix, problem) in [
        ("web", format!("\"web\" {no_prefix}")),
        ("10.0.0.0/33", format!("\"10.0.0.0/33\" {no_prefix}")),
        ("10.0.0.0/+8", format!("\"10.0.0.0/+8\" {no_prefix}")),
        ("10.0.0.0/", format!("\"10.0.0.0/\" {no_prefix}")),
        ("10.0.0.0/255.0.0.0", format!("\"10.0.0.0/255.0.0.0\" {no_prefix}")),
        ("10.0.0.1:80", format!("\"10.0.0.1:80\" {no_prefix}")),
        ("10.0.0.1/8", "there are bits behind the prefix: write 10.0.0.0/8".to_owned()),
        ("fd00::1/8", "there are bits behind the prefix: write fd00::/8".to_owned()),
        ("fd00::/8", "fd00::/8 holds no clients of TCP 10.0.0.50:80: the address families differ".to_owned()),
        (
            "::ffff:10.0.0.0/104",
            "::ffff:10.0.0.0 is an IPv4 address in IPv6 notation: write 10.0.0.0".to_owned(),
        ),
    ] {
        for key in ["allow", "deny"] {
            check_service(key, &format!("['{prefix}']"), &format!("{key}[0]: {problem}"));
        }
    }
}

#[test]
fn a_prefix_is_in_one_list_once() {
    check(
        &with("allow = ['10.0.0.0/8', '192.0.2.0/24', '10.0.0.0/8']"),
        &["lb.toml:5: virtual_service[0].allow[2]: the prefix 10.0.0.0/8 is already at line 5"],
    );
    check(
        &with("allow = ['10.0.0.0/8']\ndeny = ['10.0.0.0/9', '10.0.0.0/8']"),
        &["lb.toml:6: virtual_service[0].deny[1]: 10.0.0.0/8 is allowed at line 5: leave one of the two out"],
    );
}

#[test]
fn lists_take_room() {
    let text = |sources: u32, lines: &str| format!("tables.sources = {sources}\n{}", with(lines));
    assert!(parse("lb.toml", &text(2, "deny = ['10.0.0.0/8', '192.0.2.1']")).is_ok());
    // One more for those that are not allowed.
    check(
        &text(2, "allow = ['10.0.0.0/8', '192.0.2.1']"),
        &[
            "lb.toml:2: virtual_service[0]: more than 2 prefixes in the lists of all services: raise `tables.sources`",
        ],
    );
}

#[test]
fn a_service_by_mark_has_a_family_too() {
    let text = |family: &str, prefix: &str| {
        format!(
            "[[class]]\nmark = 7\naddress = ['10.0.0.50', 'fd00::50']\n\
             [[virtual_service]]\nmark = 7\nfamily = '{family}'\nscheduler = 'rr'\nallow = ['{prefix}']\n"
        )
    };
    assert!(parse("lb.toml", &text("ipv4", "10.0.0.0/8")).is_ok());
    assert!(parse("lb.toml", &text("ipv6", "fd00::/8")).is_ok());
    check(
        &text("ipv6", "10.0.0.0/8"),
        &["lb.toml:8: virtual_service[0].allow[0]: \
           10.0.0.0/8 holds no clients of FWM 7 IPv6: the address families differ"],
    );
}
