//! `dev`: a whole cluster on this machine, in the foreground.

use std::path::Path;

use credentials::Files;
use daemon::signals::{StopSignal, StopSignals};
use proto::client::{Client, ClientOptions};
use serde::Serialize;

use super::Context;
use crate::args::DevArgs;
use crate::failure::Failure;
use crate::local_cluster::{Layout, LocalCluster, LocalClusterError, Role};
use crate::output::{Output, Style, columns};

/// Addresses and processes of the local cluster, for display.
#[derive(Debug, PartialEq, Serialize)]
struct Overview {
    endpoints: Vec<String>,
    /// Files with which its user is known to it.
    files: Option<OwnFiles>,
    leader: Option<Running>,
    processes: Vec<Running>,
    data_dir: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct OwnFiles {
    cacert: String,
    cert: String,
    key: String,
}

impl From<&Files> for OwnFiles {
    fn from(files: &Files) -> Self {
        let shown = |path: &Path| path.display().to_string();
        Self {
            cacert: shown(&files.trusted),
            cert: shown(&files.certificate),
            key: shown(&files.key),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Running {
    name: String,
    pid: u32,
    grpc: String,
    http: Option<String>,
    log: String,
}

pub(super) async fn run(context: &Context, args: DevArgs) -> Result<(), Failure> {
    // From here on this program handles signals: no process may be left behind.
    let mut stop = StopSignals::listen(StopSignal::ALL)?;
    let layout = Layout {
        masters: args.masters,
        workers: args.workers,
        base_port: args.base_port,
        executor: args.executor,
        is_secured: !args.insecure,
    };
    let programs = LocalCluster::sibling_programs()?;
    let mut cluster = LocalCluster::prepare(layout, &programs, args.data_dir)?;

    let result = tokio::select! {
        result = serve(context, &mut cluster) => result,
        _ = stop.next() => Ok(()),
    };
    context.output.message("stopping workers, then masters (Ctrl-C again: at once)");
    tokio::select! {
        () = cluster.stop() => context.output.message("stopped"),
        // Dropping the cluster kills the remaining processes.
        _ = stop.next() => context.output.message("killed"),
    }
    result
}

/// Starts all processes, and prints an overview and then every process that ends.
async fn serve(context: &Context, cluster: &mut LocalCluster) -> Result<(), Failure> {
    let output = context.output;
    start(&output, cluster).await?;
    let client = cluster.client(ClientOptions::default())?;
    let overview = overview(cluster, &client).await?;
    output.data(&overview, text)?;
    loop {
        let exit = cluster.next_exit().await;
        output.message(format_args!("{exit}"));
    }
}

async fn start(output: &Output, cluster: &mut LocalCluster) -> Result<(), LocalClusterError> {
    let roles = cluster.layout().roles().collect::<Vec<_>>();
    output.message(format_args!(
        "starting {} processes in {}",
        roles.len(),
        cluster.data_dir().display()
    ));
    for role in &roles {
        cluster.start(*role)?;
    }
    for role in &roles {
        cluster.ready(*role).await?;
        output.message(format_args!("{role} is ready"));
    }
    let client = cluster.client(ClientOptions::default())?;
    for worker in cluster.layout().worker_roles() {
        cluster.register(&client, worker).await?;
        output.message(format_args!("{worker} is active"));
    }
    Ok(())
}

async fn overview(cluster: &LocalCluster, client: &Client) -> Result<Overview, Failure> {
    let layout = cluster.layout();
    let leader = client.leader().await?.leader_id.and_then(|id| u16::try_from(id).ok());
    let leader = leader.map(Role::Master);

    let running = cluster.processes().iter().map(|process| {
        let role = process.role();
        let running = Running {
            name: role.to_string(),
            pid: process.pid(),
            grpc: layout.grpc_address(role),
            http: layout.http_address(role),
            log: process.log().display().to_string(),
        };
        (role, running)
    });
    let running = running.collect::<Vec<_>>();

    Ok(Overview {
        endpoints: layout.endpoints().collect(),
        files: cluster.own_files().map(OwnFiles::from),
        leader: running.iter().find(|(role, _)| Some(*role) == leader).map(|(_, r)| r.clone()),
        processes: running.into_iter().map(|(_, running)| running).collect(),
        data_dir: cluster.data_dir().display().to_string(),
    })
}

fn text(overview: &Overview, style: Style) -> String {
    let rows = overview.processes.iter().map(|process| {
        [
            process.name.clone(),
            process.pid.to_string(),
            process.grpc.clone(),
            process.http.clone().unwrap_or_else(|| "-".to_owned()),
            process.log.clone(),
        ]
    });
    let table = columns(["PROCESS", "PID", "GRPC", "HTTP", "LOG"], rows.collect(), style);

    let endpoints = overview.endpoints.join(",");
    let mut lines = vec![String::new(), table, String::new()];
    lines.push("in another terminal:".to_owned());
    lines.push(format!("  export CLUSTERCTL_ENDPOINTS={endpoints}"));
    if let Some(OwnFiles { cacert, cert, key }) = &overview.files {
        lines.push(format!("  export CLUSTERCTL_CACERT={cacert}"));
        lines.push(format!("  export CLUSTERCTL_CERT={cert}"));
        lines.push(format!("  export CLUSTERCTL_KEY={key}"));
    }
    lines.push("submit a task:    clusterctl task submit --wait --logs -- echo hello".to_owned());
    lines.push("see the cluster:  clusterctl status".to_owned());
    if let Some(leader) = &overview.leader {
        let http = leader.http.as_deref().unwrap_or_default();
        lines.push(format!("leader:           {}", leader.name));
        lines.push(match overview.files {
            Some(_) => format!(
                "REST:             curl --cacert $CLUSTERCTL_CACERT --cert $CLUSTERCTL_CERT \
                 --key $CLUSTERCTL_KEY https://{http}/api/cluster"
            ),
            None => format!("REST:             curl http://{http}/api/cluster"),
        });
        let scheme = if overview.files.is_some() { "https" } else { "http" };
        lines.push(format!(
            "dashboard:        {scheme}://{http}/ (its API: {scheme}://{http}/docs/api)"
        ));
    }
    if let Some(leader) = &overview.leader {
        lines.push(format!("kill the leader:  kill -9 {}", leader.pid));
    }
    lines.push("stop everything:  Ctrl-C".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overview_says_what_to_do_next() {
        let running = |name: &str, pid, port: u16| Running {
            name: name.to_owned(),
            pid,
            grpc: format!("127.0.0.1:{port}"),
            http: name.starts_with('m').then(|| format!("127.0.0.1:{}", port + 100)),
            log: format!("/d/{name}.log"),
        };
        let overview = Overview {
            endpoints: vec!["127.0.0.1:7001".to_owned()],
            files: Some(OwnFiles {
                cacert: "/d/ca.crt".to_owned(),
                cert: "/d/admin-me.crt".to_owned(),
                key: "/d/admin-me.key".to_owned(),
            }),
            leader: Some(running("master-1", 11, 7_001)),
            processes: vec![running("master-1", 11, 7_001), running("worker-1", 12, 7_201)],
            data_dir: "/d".to_owned(),
        };
        let expected = "
PROCESS   PID  GRPC            HTTP            LOG
master-1  11   127.0.0.1:7001  127.0.0.1:7101  /d/master-1.log
worker-1  12   127.0.0.1:7201  -               /d/worker-1.log

in another terminal:
  export CLUSTERCTL_ENDPOINTS=127.0.0.1:7001
  export CLUSTERCTL_CACERT=/d/ca.crt
  export CLUSTERCTL_CERT=/d/admin-me.crt
  export CLUSTERCTL_KEY=/d/admin-me.key
submit a task:    clusterctl task submit --wait --logs -- echo hello
see the cluster:  clusterctl status
leader:           master-1
REST:             curl --cacert $CLUSTERCTL_CACERT --cert $CLUSTERCTL_CERT --key $CLUSTERCTL_KEY https://127.0.0.1:7101/api/cluster
dashboard:        https://127.0.0.1:7101/ (its API: https://127.0.0.1:7101/docs/api)
kill the leader:  kill -9 11
stop everything:  Ctrl-C";
        assert_eq!(text(&overview, Style::Plain), expected);
    }
}
