//! The alert rules that operators are given are valid, and fire when they ought to.

use std::process::Command;

use cluster_tests::process::checkout;

#[test]
fn alert_rules_are_valid_and_fire_when_they_ought_to() {
    let rules = checkout().join("deploy/prometheus");
    for args in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let ran = Command::new("promtool").args(args).current_dir(&rules).output();
        let ran = ran.unwrap_or_else(|error| {
            panic!("promtool cannot be run ({error}): deploy/install-deps.sh installs it")
        });
        let said = [ran.stdout, ran.stderr].concat();
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said));
    }
}
