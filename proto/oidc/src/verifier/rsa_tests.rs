//! Signatures of RSA, made with OpenSSL; the private keys exist no more.

use std::time::Duration;

use super::{Claims, Expected, KeySet, Rejected};
use crate::token::Unverified;

/// Modulus of a key of 2048 bits.
const MODULUS: &str = "\
    ghqvFZHNRUr2s8dJtMrOek28IcHu-KLeIx2euVD8ryLLakdcTAs4uq4b7kAeCUIdClqHV5vyoPMC2brpoiihBDT_\
    Q_A55IsaWneShuCF9KEAWqtNhorIhrbgXbgAdoPLijFq3BfLgJTgr9vgXYF5C-Lsg_T1HoN01bwR2Nx8zGUU3EpU\
    2WIR1F-pphMEcEVX9cwlEqQDuX1myc2DyxCSnsd1C8D6rbCq199zqVn-bjpOS4xBsFm-QuDD37HvF4IFFOUhxgVO\
    MlUgsV-8BgM4rlSnLBZD8JVjQnkfH6HdZTQQVowh_10QjC-7iJT-LtjtGEP2b8genUHTI__pgwItfQ";
/// Token of ada, good until the second 2000, signed with RS256.
const RS256: &str = "\
    eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjo\
    iY2xvdWRhaSIsInN1YiI6ImFkYSIsImV4cCI6MjAwMH0.E5fwQAbV-Us_STD0BCrJTcJANiu5KHoelRIbd9IDpQ7\
    H_tkdcgEyUzjTfPoINKX5XC-IdKyckWCryBlqGtGF94a461o54GMhTGd3J8m4EGb3ixdxG2xfWVQEGl5SZ1UQH2o\
    hx_K9Rwn-8qaR9gGHyUfRZsVgqaMjEjwoh9rn-1sLDFf94vL0N5boWc6pJRP84wMMhA6FZZ0YaxLc828BXZPPnQB\
    kFeEYlKJKrvwCrp1YuoQ3Boset8VqBj9LlG5opk-zJVlRhX6AOxfpNESdvityvGTmJnMF4JpWk2M7wEKcdDkWq48\
    6fCf-btve4zqE9XhWRRULfPA18BIg2kObHg";
/// The same with PS256.
const PS256: &str = "\
    eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjo\
    iY2xvdWRhaSIsInN1YiI6ImFkYSIsImV4cCI6MjAwMH0.ClvOsyEdLIc2ihvA0DvQ6vhbGc98Rhww8f7wGklAxAe\
    Bgppni0nz3mIzp2nCNEa2Qrt69K4c7sM3KVS5tjradS7Q1h7VyMbLymUz3B3g9FZFcBvjvY0Ihm-LRc4XQG09dFy\
    hU9sXqHJLDS0JMCTHrpGks05YpSOInTkjPlio225cYX5kJjzcnDd5-bmF2GWgU5fZX8mcvgnDq8Kp10T-hUttdDi\
    ziJcNab2HB7aGvFJ11ecRDkjlqvLToMqYDbuZfc1Fq8r6ocGDIL0sggxbBAbllBzAhnVdP-bYYY74l_HwWi8HfeF\
    iAq6Nhw1EVYwG6z6wsmYjqvTENEdz2oXgUA";
/// Modulus of a key of 1024 bits.
const SHORT_MODULUS: &str = "\
    oW_hMge_jTouGr8zRtKb6wuXc1yDPxtyHKK7UNdMFMtfJY5bJhqmfrbA3MCD5ya6LdZGqdF2HydAdBIY34jalynd\
    QljlIJzbH_eGQuFkzQkE2viB1yXGNW9l6AeZdDBcdWcp0k4cGq4mA0H-45nbRAosNDgQWwAk1oZKQugxIsU";

fn keys(modulus: &str, more: &str) -> KeySet {
    let key = format!(r#"{{"kty":"RSA","kid":"rsa","n":"{modulus}","e":"AQAB"{more}}}"#);
    KeySet::parse(format!(r#"{{"keys":[{key}]}}"#).as_bytes()).unwrap()
}

fn verified(keys: &KeySet, token: &str) -> Result<Claims, Rejected> {
    let expected = Expected {
        issuer: "https://id.example.com".to_owned(),
        audience: "cloudai".to_owned(),
        leeway: Duration::ZERO,
    };
    super::verify_with(keys, &Unverified::read(token)?, &expected, Duration::from_secs(1_999))
}

#[test]
fn both_kinds_of_rsa_signatures_are_accepted() {
    let keys = keys(MODULUS, "");
    for token in [RS256, PS256] {
        assert_eq!(verified(&keys, token).unwrap().texts("sub"), Some(vec!["ada"]));
    }
    let (message, _) = RS256.rsplit_once('.').unwrap();
    let (_, signature) = PS256.rsplit_once('.').unwrap();
    let mixed = format!("{message}.{signature}");
    assert_eq!(verified(&keys, &mixed), Err(Rejected::Signature));
}

#[test]
fn a_key_that_is_for_one_algorithm_verifies_no_other() {
    let keys = keys(MODULUS, r#","alg":"PS256""#);
    assert!(verified(&keys, PS256).is_ok());
    assert_eq!(verified(&keys, RS256), Err(Rejected::Signature));
}

#[test]
fn a_short_key_is_none() {
    let document =
        format!(r#"{{"keys":[{{"kty":"RSA","kid":"a","n":"{SHORT_MODULUS}","e":"AQAB"}}]}}"#);
    assert_eq!(KeySet::parse(document.as_bytes()), Err(crate::InvalidKeys::NoneUsable));
}
