//! Faults of all layers come at once, in the order in which one would look for them.

use super::given;

#[test]
fn every_fault_of_every_layer_comes_at_once() {
    let file = "\
[gateway]
listen = \"x\"
workrs = 1

[servers.a]
env = { TOKEN = \"${env:NOPE}\" }

[servers.b]
command = \"b\"
call_timeout = \"1 day\"
";
    assert_eq!(
        given(file)
            .env("TRUNKLINE_GATEWAY__WORKERS", "many")
            .env("TRUNKLINE_LISTEN", "x")
            .env("TRUNKLINE_GATEWAY__LOG", "x")
            .env("TRUNKLINE_LOG", "debug")
            .env("TRUNKLINE_GATEWAY__LOG__FILTER", "info")
            .env("TRUNKLINE_SERVERS__B__ENV__K", "s3cret ${env:NOPE}")
            .flag("--set", "gateway.name_limt", "3")
            .flag("--grace", "gateway.shutdown_grace", "10")
            .faults(),
        "\
error: `gateway.listen` is \"x\", which is not an address with a port
 --> gateway.toml:2:10
  |
2 | listen = \"x\"
  |          ^^^
help: write an IP address and a port, such as \"127.0.0.1:6270\" or \"[::1]:6270\"

error: unknown key `gateway.workrs`
 --> gateway.toml:3:1
  |
3 | workrs = 1
  | ^^^^^^
help: did you mean `workers`?

error: `servers.a` has neither `command` nor `url`
 --> gateway.toml:5:10
  |
5 | [servers.a]
  |          ^
help: add `command` to start a program, or `url` to connect to a running one

error: `servers.a.env.TOKEN` refers to the environment variable NOPE, which is not set
 --> gateway.toml:6:17
  |
6 | env = { TOKEN = \"${env:NOPE}\" }
  |                 ^^^^^^^^^^^^^
help: set NOPE where the gateway is started, or write `$${env:NOPE}` for the literal text

error: `servers.b.call_timeout` is \"1 day\", which is not a length of time
  --> gateway.toml:10:16
   |
10 | call_timeout = \"1 day\"
   |                ^^^^^^^
help: write whole numbers with the units d, h, m, s or ms, such as \"30s\" or \"1h30m\"

error: `gateway.log` is a table and has no value of its own
 --> environment variable TRUNKLINE_GATEWAY__LOG
help: set one of filter, format

error: `gateway.workers` is \"many\", not a whole number
 --> environment variable TRUNKLINE_GATEWAY__WORKERS
help: write a whole number, such as 8

error: unknown key `listen`
 --> environment variable TRUNKLINE_LISTEN
help: two underscores part the names, such as in TRUNKLINE_GATEWAY__LISTEN; `listen` belongs in `[gateway]`

error: the variables TRUNKLINE_GATEWAY__LOG__FILTER and TRUNKLINE_LOG both set `gateway.log.filter`
 --> environment variable TRUNKLINE_LOG
help: unset one of them

error: `servers.b.env.K` refers to the environment variable NOPE, which is not set
 --> environment variable TRUNKLINE_SERVERS__B__ENV__K
help: set NOPE where the gateway is started, or write `$${env:NOPE}` for the literal text

error: unknown key `gateway.name_limt`
 --> flag --set
help: did you mean `name_limit`?

error: `gateway.shutdown_grace` is \"10\", which has no unit
 --> flag --grace
help: write \"10s\" for seconds

12 faults in the configuration"
    );
}

#[test]
fn a_file_that_is_no_toml_hides_no_fault_of_the_other_layers() {
    let file = "\
[gateway
";
    assert_eq!(
        given(file)
            .env("TRUNKLINE_GATEWAY__LISEN", "x")
            .flag("--workers", "gateway.workers", "many")
            .faults(),
        "\
error: the file is not valid TOML: unclosed table, expected `]`
 --> gateway.toml:1:9
  |
1 | [gateway
  |         ^
help: a string stands in quotes, and a table begins with `[name]` on a line of its own

error: unknown key `gateway.lisen`
 --> environment variable TRUNKLINE_GATEWAY__LISEN
help: did you mean `listen`?

error: `gateway.workers` is \"many\", not a whole number
 --> flag --workers
help: write a whole number, such as 8

3 faults in the configuration"
    );
}

#[test]
fn a_file_without_trailing_newline_and_with_tabs_is_shown_straight() {
    let file = "\
[servers.a]\r
\tcommand\t=\t\"x y\"\r
\tcwdd = \"é\"";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.a.command` is \"x y\", which is more than a program
 --> gateway.toml:2:12
  |
2 |     command    =    \"x y\"
  |                     ^^^^^
help: write command = \"x\", and the rest as a list in `args`; no shell reads them

error: unknown key `servers.a.cwdd`
 --> gateway.toml:3:2
  |
3 |     cwdd = \"***\"
  |     ^^^^
help: did you mean `cwd`?

2 faults in the configuration"
    );
}

#[test]
fn a_server_that_cannot_be_reached_at_all_still_has_its_other_faults_told() {
    let file = "\
[servers.a]
comand = \"npx\"
call_timeout = \"30 parsecs\"
";
    let told = given(file).faults();
    for fault in ["neither `command` nor `url`", "`servers.a.comand`", "\"30 parsecs\"", "3 faults"] {
        assert!(told.contains(fault), "{fault} is missing in:\n{told}");
    }
}
