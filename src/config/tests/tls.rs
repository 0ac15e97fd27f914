//! `[gateway.tls]`: the two files are read and checked with everything else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::super::Identity;
use super::{Given, given};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls/front").join(name)
}

/// A configuration with these two files beside it.
fn with(certificate: &str, key: &str) -> Given {
    let given = given("[gateway.tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n");
    for (from, to) in [(certificate, "tls.pem"), (key, "tls.key")] {
        if !from.is_empty() {
            fs::copy(sample(from), given.folder().join(to)).unwrap();
        }
    }
    given
}

fn identity(given: &Given) -> Identity {
    given.config().gateway.tls.unwrap().identity.unwrap()
}

#[test]
fn what_the_files_hold_is_known() {
    let given = with("first.pem", "first.key");
    let first = identity(&given);
    assert_eq!(first.names(), ["gateway.example"]);
    assert!(first.covers("127.0.0.1".parse().unwrap()) && !first.covers("127.0.0.2".parse().unwrap()));
    assert_eq!(first.certified().cert.len(), 2, "with the one between");
    // 2126-01-01 and 2021-01-01.
    assert_eq!(first.good_until(), UNIX_EPOCH + Duration::from_secs(4_922_899_200));
    let past = identity(&with("past.pem", "past.key"));
    let end = UNIX_EPOCH + Duration::from_secs(1_609_459_200);
    assert_eq!(past.good_until(), end);
    assert_eq!(past.out_of_date(end), None, "the last moment counts");
    let later = end + Duration::from_secs(49 * 60 * 60);
    assert_eq!(past.out_of_date(later).as_deref(), Some("has expired 2 days ago"));
    let early = UNIX_EPOCH + Duration::from_secs(1_577_836_800 - 3 * 60 * 60);
    assert_eq!(past.out_of_date(early).as_deref(), Some("is not good before 3 h from now"));
}

#[test]
fn equal_files_are_one_identity_and_a_debug_print_shows_no_key() {
    let first = identity(&with("first.pem", "first.key"));
    assert_eq!(first, identity(&with("first.pem", "first.key")));
    assert_ne!(first, identity(&with("second.pem", "second.key")));
    let given = with("first.pem", "first.key");
    let key = fs::read_to_string(sample("first.key")).unwrap();
    let printed = format!("{:?}", given.config());
    assert!(printed.contains("gateway.example"), "{printed}");
    assert!(!key.lines().filter(|line| line.len() > 10).any(|line| printed.contains(line)));
}

#[test]
fn a_key_that_everybody_may_read_is_known_as_such() {
    let given = with("first.pem", "first.key");
    for (mode, exposed) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
        fs::set_permissions(given.folder().join("tls.key"), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(identity(&given).is_exposed(), exposed, "{mode:o}");
    }
}

#[test]
fn every_fault_of_the_files_is_told_with_its_cure() {
    for (certificate, key, words) in [
        ("", "first.key", ["`gateway.tls.certificate` is \"tls.pem\", which cannot be read", "may read"]),
        ("first.pem", "", ["`gateway.tls.key` is \"tls.key\", which cannot be read", "may read"]),
        (
            "first.key",
            "first.key",
            ["`gateway.tls.certificate` is \"tls.pem\", which holds no certificate", "PEM"],
        ),
        ("first.pem", "first.pem", ["`gateway.tls.key` is \"tls.key\", which holds no private key", "PEM"]),
        ("first.pem", "second.key", ["`gateway.tls.key` is", "is not the key of the first certificate"]),
        ("first.pem", "locked.key", ["is encrypted with a password", "openssl pkey"]),
        ("root.pem", "first.key", ["`gateway.tls.key` is", "is not the key of the first certificate"]),
    ] {
        let fault = with(certificate, key).fault();
        assert!(words.iter().all(|word| fault.contains(word)), "{certificate} {key}: {fault}");
    }
    let folder = with("first.pem", "first.key");
    fs::write(
        folder.folder().join("tls.pem"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    assert!(folder.fault().contains("holds a certificate that cannot be used"), "{}", folder.fault());
    fs::write(folder.folder().join("tls.pem"), vec![b'x'; (1 << 20) + 1]).unwrap();
    assert!(folder.fault().contains("is larger than 1 MiB"), "{}", folder.fault());
}

#[test]
fn neither_file_goes_without_the_other() {
    for (there, missing) in [("certificate", "key"), ("key", "certificate")] {
        let fault = given(&format!("[gateway.tls]\n{there} = \"x.pem\"\n")).fault();
        assert!(
            fault.contains(&format!("`gateway.tls.{there}` stands without `gateway.tls.{missing}`")),
            "{fault}"
        );
        assert!(fault.contains(&format!("add gateway.tls.{missing}")), "{fault}");
    }
}
