//! Cuts one process off from the others of its cluster, and leaves clients a way to each.

use std::process::Command;

use crate::cluster::Cluster;

/// A cut that heals when it is dropped.
#[derive(Debug)]
pub struct Cut {
    rules: Vec<Vec<String>>,
}

/// Returns the reason that cuts are impossible here; `None` where they are possible.
#[must_use]
pub fn obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("only root may change packet filters".to_owned());
    }
    match iptables("-L", &["OUTPUT".to_owned(), "-n".to_owned()]) {
        Ok(()) => None,
        Err(error) => Some(format!("iptables: {error}")),
    }
}

impl Cut {
    /// Drops every packet between the master and the others that belongs to a call from one side
    /// to the other. All of them share an address, so packets are told apart by the group of the
    /// process that sends them and by the port that they go to or come from.
    #[must_use]
    pub fn around(cluster: &Cluster, master: u64) -> Self {
        let mut rules = Vec::new();
        let inside = cluster.master(master);
        for outside in cluster.masters().filter(|other| other.id() != master) {
            rules.push(drop_rule(inside.group(), "--dport", outside.grpc_port()));
            rules.push(drop_rule(outside.group(), "--dport", inside.grpc_port()));
        }
        rules.push(drop_rule(inside.group(), "--sport", inside.grpc_port()));
        let cut = Self { rules };
        for rule in &cut.rules {
            iptables("-I", rule).unwrap();
        }
        cut
    }
}

impl Cut {
    /// Drops every packet between a worker and the masters.
    #[must_use]
    pub fn off_worker(cluster: &Cluster, name: &str) -> Self {
        let worker = cluster.worker(name);
        let group = worker.group().unwrap();
        let mut rules = vec![drop_rule(group, "--sport", worker.port())];
        for master in cluster.masters() {
            rules.push(drop_rule(group, "--dport", master.grpc_port()));
            rules.push(drop_rule(master.group(), "--dport", worker.port()));
        }
        let cut = Self { rules };
        for rule in &cut.rules {
            iptables("-I", rule).unwrap();
        }
        cut
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        for rule in &self.rules {
            if let Err(error) = iptables("-D", rule) {
                eprintln!("a packet filter rule stays behind: {rule:?}: {error}");
            }
        }
    }
}

fn drop_rule(group: u32, port_of: &str, port: u16) -> Vec<String> {
    let rule =
        format!("OUTPUT -o lo -m owner --gid-owner {group} -p tcp -m tcp {port_of} {port} -j DROP");
    rule.split(' ').map(str::to_owned).collect()
}

fn iptables(action: &str, rule: &[String]) -> Result<(), String> {
    let output = Command::new("iptables").arg("-w").arg(action).args(rule).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
