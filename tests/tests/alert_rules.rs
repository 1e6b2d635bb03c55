//! The alert rules that operators are given are valid, and fire when they ought to.

use std::path::Path;
use std::process::Command;

#[test]
fn alert_rules_are_valid_and_fire_when_they_ought_to() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    for args in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let ran = Command::new("promtool").args(args).current_dir(&rules).output();
        let ran = ran.unwrap_or_else(|error| {
            panic!("promtool cannot be run ({error}): deploy/install-deps.sh installs it")
        });
        let said = [ran.stdout, ran.stderr].concat();
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said));
    }
}
