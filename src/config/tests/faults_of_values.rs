//! What a value is told that is of the right type and still wrong.

use super::given;

#[test]
fn a_number_out_of_bounds_is_told_with_the_bounds() {
    let file = "\
[gateway]
workers = 0
max_body = -12
name_limit = 12
";
    assert_eq!(
        given(file).faults(),
        "\
error: `gateway.workers` is 0, which is out of bounds
 --> gateway.toml:2:11
  |
2 | workers = 0
  |           ^
help: write a number from 1 to 1024

error: `gateway.max_body` is -12, which is out of bounds
 --> gateway.toml:3:12
  |
3 | max_body = -12
  |            ^^^
help: write a size from 1KiB to 1GiB

error: `gateway.name_limit` is 12, which is out of bounds
 --> gateway.toml:4:14
  |
4 | name_limit = 12
  |              ^^
help: write a number from 40 to 128

3 faults in the configuration"
    );
}

#[test]
fn a_length_of_time_without_a_unit_or_sense_is_told_once_for_all_servers() {
    let file = "\
[defaults]
call_timeout = \"30\"
stop_grace = \"soon\"
start_timeout = \"0s\"
[servers.a]
command = \"x\"
[servers.b]
command = \"x\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: `defaults.call_timeout` is \"30\", which has no unit
 --> gateway.toml:2:16
  |
2 | call_timeout = \"30\"
  |                ^^^^
help: write \"30s\" for seconds

error: `defaults.stop_grace` is \"soon\", which is not a length of time
 --> gateway.toml:3:14
  |
3 | stop_grace = \"soon\"
  |              ^^^^^^
help: write whole numbers with the units d, h, m, s or ms, such as \"30s\" or \"1h30m\"

error: `defaults.start_timeout` is \"0s\", which is out of bounds
 --> gateway.toml:4:17
  |
4 | start_timeout = \"0s\"
  |                 ^^^^
help: write a length from 1ms to 1d

3 faults in the configuration"
    );
}

#[test]
fn a_size_of_an_unknown_unit_is_told_with_the_known_ones() {
    let file = "\
[gateway]
max_body = \"4M\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: `gateway.max_body` is \"4M\", which is not a size
 --> gateway.toml:2:12
  |
2 | max_body = \"4M\"
  |            ^^^^
help: write a whole number with a unit: B, KiB, MiB, GiB, kB, MB or GB

1 fault in the configuration"
    );
}

#[test]
fn an_address_that_is_none_is_told_with_one_for_the_same_port() {
    let file = "\
[gateway]
listen = \"localhost:8080\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: `gateway.listen` is \"localhost:8080\", which is not an address with a port
 --> gateway.toml:2:10
  |
2 | listen = \"localhost:8080\"
  |          ^^^^^^^^^^^^^^^^
help: write an IP address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"

1 fault in the configuration"
    );
}

#[test]
fn an_address_that_others_reach_is_refused_with_the_cures() {
    let file = "\
[gateway]
listen = \"0.0.0.0:8080\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: `gateway.listen` is \"0.0.0.0:8080\", which others can reach, and no authentication is configured
 --> gateway.toml:2:10
  |
2 | listen = \"0.0.0.0:8080\"
  |          ^^^^^^^^^^^^^^
help: set auth.anonymous = \"never\" and make a key for each caller with `trunkline key new NAME`, or listen on \"127.0.0.1:8080\", or, behind something that asks who is calling, set gateway.allow_unauthenticated = true

1 fault in the configuration"
    );
}

#[test]
fn agenthubs_paths_without_the_administration_interface_are_refused() {
    let file = "\
[admin]
enabled = false
[compat]
agenthub = true
";
    assert_eq!(
        given(file).faults(),
        "\
error: `compat.agenthub` is true, which needs the administration interface, and admin.enabled is false
 --> gateway.toml:4:12
  |
4 | agenthub = true
  |            ^^^^
help: leave admin.enabled out, or compat.agenthub

1 fault in the configuration"
    );
}

#[test]
fn a_word_that_is_not_among_the_choices_is_told_with_the_nearest() {
    let file = "\
[gateway.log]
format = \"jsn\"

[defaults]
protocol = \"2025-11-25\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: `gateway.log.format` is \"jsn\", which is not among its values
 --> gateway.toml:2:10
  |
2 | format = \"jsn\"
  |          ^^^^^
help: did you mean \"json\"?

error: `defaults.protocol` is \"2025-11-25\", which is not among its values
 --> gateway.toml:5:12
  |
5 | protocol = \"2025-11-25\"
  |            ^^^^^^^^^^^^
help: write one of \"auto\", \"legacy\", \"modern\"

2 faults in the configuration"
    );
}

#[test]
fn a_log_filter_that_would_silently_match_nothing_is_refused() {
    let file = "\
[gateway.log]
filter = \"trunkline=debug,inof\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: `gateway.log.filter` is \"trunkline=debug,inof\", which has \"inof\" where a level should stand
 --> gateway.toml:2:10
  |
2 | filter = \"trunkline=debug,inof\"
  |          ^^^^^^^^^^^^^^^^^^^^^^
help: did you mean \"info\"?

1 fault in the configuration"
    );
}

#[test]
fn origins_and_hosts_that_no_browser_sends_are_refused() {
    let file = "\
[gateway]
allowed_origins = [\"*\", \"https://x/\", \"${env:X}\"]
allowed_hosts = [\"http://x\"]
";
    assert_eq!(
        given(file).faults(),
        "\
error: `gateway.allowed_origins` has \"*\", which would admit every web page
 --> gateway.toml:2:20
  |
2 | allowed_origins = [\"*\", \"https://x/\", \"${env:X}\"]
  |                    ^^^
help: name the pages that may call; with \"*\" any web page could use every server

error: `gateway.allowed_origins` has \"https://x/\", which is not an origin
 --> gateway.toml:2:25
  |
2 | allowed_origins = [\"*\", \"https://x/\", \"${env:X}\"]
  |                         ^^^^^^^^^^^^
help: write scheme, host and perhaps port, such as \"https://app.example.com\"

error: `gateway.allowed_origins` has \"${env:X}\", which has a reference
 --> gateway.toml:2:39
  |
2 | allowed_origins = [\"*\", \"https://x/\", \"${env:X}\"]
  |                                       ^^^^^^^^^^
help: write the value itself; this key takes no references

error: `gateway.allowed_hosts` has \"http://x\", which is not a host
 --> gateway.toml:3:18
  |
3 | allowed_hosts = [\"http://x\"]
  |                  ^^^^^^^^^^
help: write a host name and perhaps a port, such as \"mcp.example.com\"

4 faults in the configuration"
    );
}
