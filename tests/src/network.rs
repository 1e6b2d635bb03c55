//! Hosts of their own on this machine: each is a network namespace, and a router between them
//! drops what a test tells it to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The interface of this process's own namespace that leads to the router. A test that was killed
/// leaves it behind, so it is removed before it is made.
const OUR_LINK: &str = "cloudai-test";
/// Every host `k` is 10.213.k.2, its router 10.213.k.1; this process is host 0.
const SUBNET: &str = "10.213";

/// Tells the namespaces of one process apart.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Hosts that can be cut off from one another.
#[derive(Debug)]
pub struct Network {
    prefix: String,
    hosts: BTreeMap<String, u8>,
}

/// A fault of the network that heals when it is dropped.
#[derive(Debug)]
pub struct Fault {
    router: String,
    rules: Vec<Vec<String>>,
}

impl Network {
    /// Makes a host of each name, all of which reach one another and this process.
    ///
    /// # Errors
    ///
    /// With the reason, where namespaces cannot be made.
    pub fn build(hosts: &[String]) -> Result<Self, String> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("ct{}-{number}", std::process::id());
        let numbered = hosts.iter().cloned().zip(1..).collect::<BTreeMap<_, _>>();
        let network = Self { prefix, hosts: numbered };

        // What a killed test left of our own link would take the route.
        run(&["ip", "link", "del", OUR_LINK]).ok();
        let router = network.router();
        run(&["ip", "netns", "add", &router])?;
        inside(&router, &["sysctl", "-qw", "net.ipv4.ip_forward=1"])?;
        network.join(None, 0)?;
        for (name, number) in &network.hosts {
            let namespace = network.namespace(name);
            run(&["ip", "netns", "add", &namespace])?;
            inside(&namespace, &["ip", "link", "set", "lo", "up"])?;
            network.join(Some(&namespace), *number)?;
        }
        Ok(network)
    }

    /// Lays a cable from the router to a host, or to this process's own namespace.
    fn join(&self, namespace: Option<&str>, number: u8) -> Result<(), String> {
        let router = self.router();
        let (far, near) = (format!("to-{number}"), if number == 0 { OUR_LINK } else { "eth0" });
        let mut cable = vec!["ip", "link", "add", near];
        cable.extend(namespace.iter().flat_map(|namespace| ["netns", namespace]));
        cable.extend(["type", "veth", "peer", "name", &far, "netns", &router]);
        run(&cable)?;
        let [gateway, own] = [1, 2].map(|end| format!("{SUBNET}.{number}.{end}"));

        inside(&router, &["ip", "addr", "add", &format!("{gateway}/30"), "dev", &far])?;
        inside(&router, &["ip", "link", "set", &far, "up"])?;
        let here = |command: &[&str]| match namespace {
            Some(namespace) => inside(namespace, command),
            None => run(command),
        };
        here(&["ip", "addr", "add", &format!("{own}/30"), "dev", near])?;
        here(&["ip", "link", "set", near, "up"])?;
        let target = if number == 0 { format!("{SUBNET}.0.0/16") } else { "default".to_owned() };
        here(&["ip", "route", "add", &target, "via", &gateway])
    }

    /// The address of a host.
    #[must_use]
    pub fn address(&self, host: &str) -> String {
        format!("{SUBNET}.{}.2", self.hosts[host])
    }

    /// The namespace that a host's processes are started in, as a file.
    #[must_use]
    pub fn namespace_file(&self, host: &str) -> PathBuf {
        PathBuf::from("/run/netns").join(self.namespace(host))
    }

    /// Drops every packet from one host to another, and none the other way.
    #[must_use]
    pub fn cut_one_way(&self, from: &str, to: &str) -> Fault {
        self.fault(vec![self.between(from, to, &[])])
    }

    /// Drops every packet between a host and these others; this process still reaches all.
    #[must_use]
    pub fn cut_off(&self, host: &str, others: &[String]) -> Fault {
        let both =
            |other: &String| [self.between(host, other, &[]), self.between(other, host, &[])];
        self.fault(others.iter().filter(|other| *other != host).flat_map(both).collect())
    }

    /// Drops every packet to one port of a host: it can call, but not be called.
    #[must_use]
    pub fn close_port(&self, host: &str, port: u16) -> Fault {
        let (address, port) = (self.address(host), port.to_string());
        let rule = ["FORWARD", "-d", &address, "-p", "tcp", "--dport", &port, "-j", "DROP"];
        self.fault(vec![rule.map(str::to_owned).to_vec()])
    }

    /// Drops so many of a hundred packets between a host and all others, either way.
    #[must_use]
    pub fn lossy(&self, host: &str, percent: u32) -> Fault {
        let share = format!("{}", f64::from(percent) / 100.0);
        let chance = ["-m", "statistic", "--mode", "random", "--probability", &share];
        let others = self.hosts.keys().filter(|other| *other != host);
        let both = |other: &String| {
            [self.between(host, other, &chance), self.between(other, host, &chance)]
        };
        self.fault(others.flat_map(both).collect())
    }

    fn between(&self, from: &str, to: &str, matching: &[&str]) -> Vec<String> {
        let (from, to) = (self.address(from), self.address(to));
        let ends = ["FORWARD", "-s", &from, "-d", &to];
        ends.iter().chain(matching).chain(&["-j", "DROP"]).map(|word| (*word).to_owned()).collect()
    }

    fn fault(&self, rules: Vec<Vec<String>>) -> Fault {
        let fault = Fault { router: self.router(), rules };
        for rule in &fault.rules {
            fault.iptables("-I", rule).unwrap();
        }
        fault
    }

    fn router(&self) -> String {
        format!("{}-router", self.prefix)
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }
}

impl Fault {
    fn iptables(&self, action: &str, rule: &[String]) -> Result<(), String> {
        let mut command = vec!["iptables", "-w", action];
        command.extend(rule.iter().map(String::as_str));
        inside(&self.router, &command)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        for rule in &self.rules {
            if let Err(error) = self.iptables("-D", rule) {
                eprintln!("a packet filter rule stays behind: {rule:?}: {error}");
            }
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let namespaces = self.hosts.keys().map(|host| self.namespace(host));
        for namespace in namespaces.chain([self.router()]) {
            // Those that were not made yet are not there.
            run(&["ip", "netns", "del", &namespace]).ok();
        }
        run(&["ip", "link", "del", OUR_LINK]).ok();
    }
}

fn inside(namespace: &str, command: &[&str]) -> Result<(), String> {
    let enter = ["ip", "netns", "exec", namespace];
    run(&enter.iter().chain(command).copied().collect::<Vec<_>>())
}

fn run(command: &[&str]) -> Result<(), String> {
    let (program, args) = command.split_first().unwrap();
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{}: {reason}", command.join(" ")))
}
