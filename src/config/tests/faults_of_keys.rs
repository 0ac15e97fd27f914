//! What a misspelt, misplaced or wrongly typed key is told.

use super::given;

#[test]
fn a_misspelt_key_is_told_with_the_nearest_one() {
    let file = "\
[gateway]
lisen = \"127.0.0.1:1\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: unknown key `gateway.lisen`
 --> gateway.toml:2:1
  |
2 | lisen = \"***\"
  | ^^^^^
help: did you mean `listen`?

1 fault in the configuration"
    );
}

#[test]
fn a_misspelt_table_is_told_once_and_not_for_what_it_holds() {
    let file = "\
[gatewey]
listen = \"127.0.0.1:1\"
workers = 1
";
    assert_eq!(
        given(file).faults(),
        "\
error: unknown key `gatewey`
 --> gateway.toml:1:2
  |
1 | [gatewey]
  |  ^^^^^^^
help: did you mean `gateway`?

1 fault in the configuration"
    );
}

#[test]
fn a_key_in_the_wrong_table_is_told_with_the_right_one() {
    let file = "\
[gateway]
call_timeout = \"1s\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: unknown key `gateway.call_timeout`
 --> gateway.toml:2:1
  |
2 | call_timeout = \"***\"
  | ^^^^^^^^^^^^
help: `call_timeout` belongs in `[defaults]`

1 fault in the configuration"
    );
}

#[test]
fn what_other_programs_call_a_key_is_understood() {
    let file = "\
[mcpServers.x]
command = \"x\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: unknown key `mcpServers`
 --> gateway.toml:1:2
  |
1 | [mcpServers.x]
  |  ^^^^^^^^^^
help: did you mean `servers`?

1 fault in the configuration"
    );
}

#[test]
fn a_key_like_no_other_is_told_with_all_that_may_stand_there() {
    let file = "\
[gateway.log]
frobnicate = 1
";
    assert_eq!(
        given(file).faults(),
        "\
error: unknown key `gateway.log.frobnicate`
 --> gateway.toml:2:1
  |
2 | frobnicate = 1
  | ^^^^^^^^^^
help: the keys of `[gateway.log]` are filter, format

1 fault in the configuration"
    );
}

#[test]
fn a_value_of_the_wrong_type_is_told_with_the_right_one() {
    let file = "\
[gateway]
workers = \"four\"

[defaults]
call_timeout = 30

[servers.a]
command = { x = 1 }
args = [\"ok\", 7]
";
    assert_eq!(
        given(file).faults(),
        "\
error: `gateway.workers` is the string \"four\", not a whole number
 --> gateway.toml:2:11
  |
2 | workers = \"four\"
  |           ^^^^^^
help: write a whole number without quotes, such as 8

error: `defaults.call_timeout` is the number 30, not a length of time
 --> gateway.toml:5:16
  |
5 | call_timeout = 30
  |                ^^
help: write a number with a unit in quotes, such as \"30s\" or \"5m\"

error: `servers.a.command` is a table, not a string
 --> gateway.toml:8:11
  |
8 | command = { x = 1 }
  |           ^^^^^^^^^
help: put the value in quotes

error: an element of `servers.a.args` is a number, not a string
 --> gateway.toml:9:15
  |
9 | args = [\"ok\", 7]
  |               ^
help: put every element in quotes

4 faults in the configuration"
    );
}

#[test]
fn a_value_where_a_table_should_be_is_told() {
    let file = "\
servers = 3
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers` is a number, not a table
 --> gateway.toml:1:11
  |
1 | servers = 3
  |           ^
help: write `[servers]` on a line of its own, and the keys of the table below it

1 fault in the configuration"
    );
}

#[test]
fn an_array_of_tables_is_told_with_the_header_to_write() {
    let file = "\
[[servers]]
name = \"x\"
command = \"x\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers` is an array of tables, not a table
 --> gateway.toml:1:1
  |
1 | [[servers]]
  | ^^^^^^^^^^^
help: write `[servers.<name>]` for each server

1 fault in the configuration"
    );
}

#[test]
fn a_key_that_is_there_twice_is_told_at_the_second() {
    let file = "\
[gateway]
max_sessions = 1
max_sessions = 2
";
    assert_eq!(
        given(file).faults(),
        "\
error: the key or table `max_sessions` is there a second time
 --> gateway.toml:3:1
  |
3 | max_sessions = 2
  | ^^^^^^^^^^^^
help: keep one of the two and remove the other

1 fault in the configuration"
    );
}

#[test]
fn what_is_no_toml_is_told_where_it_ends_to_be() {
    let file = "\
[gateway]
listen = localhost
";
    assert_eq!(
        given(file).faults(),
        "\
error: the file is not valid TOML: string values must be quoted
 --> gateway.toml:2:10
  |
2 | listen = localhost
  |          ^^^^^^^^^
help: a string stands in quotes, and a table begins with `[name]` on a line of its own

1 fault in the configuration"
    );
}
