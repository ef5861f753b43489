//! TOML's syntax and types, keys, and words that have one spelling.

use super::{SCHEDULERS, SERVICE, check, check_director, check_real_server, check_service};

#[test]
fn syntax_errors_are_reported_together() {
    check("[director\n", &["lb.toml:1: director: unclosed table, expected `]`"]);
    check(
        "[director]\nmetrics = 127.0.0.1:9105\ninterfaces = ['eth0' 'eth1']\n[director]\n",
        &[
            "lb.toml:2: director.metrics: invalid float, expected nothing",
            "lb.toml:3: director.interfaces[1]: missing comma between array elements, expected `,`",
            "lb.toml:4: director: duplicate key",
        ],
    );
    check(
        "[tables]\nflows = many\n",
        &["lb.toml:2: tables.flows: string values must be quoted, expected literal string"],
    );
    // The first of each line, in the order of lines: the parser reports them otherwise.
    check(
        "[director]\nmetrics=\"a\nb\"",
        &[
            "lb.toml:2: director.metrics: invalid basic string, expected `\"`",
            "lb.toml:3: invalid unquoted key, expected letters, numbers, `-`, `_`",
        ],
    );
    // Where there is no key to name.
    check("= 5\n", &["lb.toml:1: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`"]);
}

#[test]
fn an_unknown_key_is_told_what_it_was_meant_to_be() {
    check("[directors]\n", &["lb.toml:1: directors: unknown key; did you mean `director`?"]);
    check_director("xdpmode = 'auto'", "xdpmode: unknown key; did you mean `xdp_mode`?");
    check_service("schedulers", "'rr'", "schedulers: unknown key; did you mean `scheduler`?");
    check_service(
        "fwmark",
        "1",
        "fwmark: unknown key; known here: protocol, address, mark, family, scheduler, scheduler_flags, ring_size, one_packet, persistent, netmask, new_flows_max, allow, deny, check, real_server",
    );
    check_real_server("weights = 5", "weights: unknown key; did you mean `weight`?");
    check(
        "[tables]\n'a\"b' = 1\n",
        &[
            "lb.toml:2: tables.\"a\\\"b\": unknown key; known here: flows, services, destinations, ring_slots, sources, localities, templates, class_addresses, class_rules",
        ],
    );
}

#[test]
fn a_missing_key_is_named() {
    check(
        "\n[[virtual_service]]\n",
        &["lb.toml:2: virtual_service[0].scheduler: missing: this key is required"],
    );
    check("[[class]]\nmark = 7\n", &["lb.toml:1: class[0].address: missing: this key is required"]);
    let text = format!("{}\nreal_server = [{{ address = '10.0.0.11' }}, {{}}]", SERVICE.join("\n"));
    check(&text, &["lb.toml:5: virtual_service[0].real_server[1].address: missing: this key is required"]);
}

#[test]
fn a_wrong_type_is_named_in_tomls_words() {
    check("tables = 5", &["lb.toml:1: tables: expected a table, found integer `5`"]);
    check_director(
        "interfaces = 'eth0'",
        "interfaces: expected an array, `[..]`, or `[[..]]` for tables, found string \"eth0\"",
    );
    check_director("interfaces = ['eth0', 5]", "interfaces[1]: expected a string, found integer `5`");
    check(
        "[virtual_service]\n",
        &["lb.toml:1: virtual_service: expected an array, `[..]`, or `[[..]]` for tables, found a table"],
    );
    check_real_server("weight = '5'", "weight: expected a whole number, found string \"5\"");
    check_real_server("weight = 1.5", "weight: expected a whole number, found floating point `1.5`");
    check_real_server(
        "weight = 99999999999999999999",
        "weight: expected a whole number, found integer `99999999999999999999`",
    );
    check_service(
        "check",
        "'tcp'",
        "check: expected a table such as { type = \"tcp\" }, found string \"tcp\"",
    );
    check_service(
        "check",
        "{ type = 'tcp', interval = true }",
        "check.interval: expected a duration such as \"90s\", \"15m\" or \"500ms\", or a whole number of seconds",
    );
}

#[test]
fn a_word_has_one_spelling_and_the_right_one_is_told() {
    check_service(
        "protocol",
        "'icmp'",
        "protocol: unknown protocol \"icmp\"; known: \"tcp\", \"udp\", \"sctp\"",
    );
    check_service("protocol", "'TCP'", "protocol: protocol \"TCP\" is written \"tcp\" here");
    check_service("protocol", "'SCTP'", "protocol: protocol \"SCTP\" is written \"sctp\" here");
    check_service(
        "scheduler",
        "'wwr'",
        &format!("scheduler: unknown scheduler \"wwr\"; known: {SCHEDULERS}"),
    );
    check_service(
        "scheduler",
        "'lblcr'",
        &format!("scheduler: scheduler \"lblcr\" is not supported yet; there is: {SCHEDULERS}"),
    );
    for word in ["gate", "DR", "Route", "g", "direct_routing", "Direct-Routing"] {
        check_real_server(
            &format!("forward = '{word}'\naddress = '10.0.0.11'"),
            &format!("forward: forward method \"{word}\" is written \"direct-routing\" here"),
        );
    }
    for word in ["TUN", "ipip", "Gue", "i", "tunneling"] {
        check_real_server(
            &format!("forward = '{word}'\naddress = '10.0.0.11'"),
            &format!("forward: forward method \"{word}\" is written \"tunnel\" here"),
        );
    }
    for word in ["masq", "NAT", "m"] {
        check_real_server(
            &format!("forward = '{word}'\naddress = '10.0.0.11'"),
            &format!("forward: forward method \"{word}\" is written \"masquerade\" here"),
        );
    }
    check_real_server(
        "forward = 'bypass'\naddress = '10.0.0.11'",
        "forward: forward method \"bypass\" is not supported yet; there is: \"direct-routing\", \"local\", \"tunnel\", \"masquerade\"",
    );
    check_director("xdp_mode = 'drv'", "xdp_mode: XDP mode \"drv\" is written \"native\" here");
    check_director(
        "service_addresses = 'me'",
        "service_addresses: unknown owner \"me\"; known: \"director\", \"operator\"",
    );
    check_service(
        "check",
        "{ type = 'HTTP_GET' }",
        "check.type: check \"HTTP_GET\" is not supported yet; there is: \"tcp\"",
    );
}

#[test]
fn a_value_cannot_break_its_line() {
    check_service(
        "scheduler",
        "\"rr\\nlb.toml:1: fine\"",
        &format!("scheduler: unknown scheduler \"rr\\nlb.toml:1: fine\"; known: {SCHEDULERS}"),
    );
}
