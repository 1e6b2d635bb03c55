//! Counts the open connections of a process, by the kernel's account.

use std::collections::BTreeSet;
use std::fs;

/// The kernel's number for a connection that stands.
const ESTABLISHED: &str = "01";

/// Returns the number of connections of the process to this port.
///
/// # Panics
///
/// When the process is gone.
#[must_use]
pub fn open_to(pid: u32, port: u16) -> usize {
    let sockets = sockets_of(pid);
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let is_wanted = |line: &&str| {
        let fields = line.split_whitespace().collect::<Vec<_>>();
        let [_, _, remote, state, .., _, _, inode] = fields.get(..10).unwrap_or_default() else {
            return false;
        };
        let remote = remote.rsplit(':').next().and_then(|hex| u16::from_str_radix(hex, 16).ok());
        remote == Some(port) && *state == ESTABLISHED && sockets.contains(*inode)
    };
    table.lines().skip(1).filter(is_wanted).count()
}

fn sockets_of(pid: u32) -> BTreeSet<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    // A descriptor may be closed between the two looks.
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let socket = |target: std::path::PathBuf| {
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        Some(inode.to_owned())
    };
    targets.filter_map(socket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_is_counted_while_it_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pid = std::process::id();
        assert_eq!(open_to(pid, port), 0);
        let open = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(open_to(pid, port), 1);
        drop(open);
        assert_eq!(open_to(pid, port), 0);
    }
}
