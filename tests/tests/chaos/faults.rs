//! One kind of fault each, inflicted for a while and taken back.

use std::time::Duration;

use cluster_tests::cluster::{Cluster, Machines};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::stranger;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    KillLeader,
    KillMaster,
    KillAllMasters,
    FreezeLeader,
    StopMaster,
    HandOver,
    KillWorker,
    FreezeWorker,
    DuplicateWorker,
    UnfitWorker,
    Stranger,
    PowerCutOfOneMaster,
    PowerCutOfAllMasters,
    FullDisk,
    SlowDisk,
    ClockStep,
    Network(NetworkFault),
}

/// One thing that goes wrong with the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NetworkFault {
    CutOffLeader,
    CutOffMaster,
    OneWayCut,
    PacketLoss,
    UnreachableWorker,
}

/// Those that need nothing but processes.
const OF_PROCESSES: [Fault; 11] = [
    Fault::KillLeader,
    Fault::KillMaster,
    Fault::KillAllMasters,
    Fault::FreezeLeader,
    Fault::StopMaster,
    Fault::HandOver,
    Fault::KillWorker,
    Fault::FreezeWorker,
    Fault::DuplicateWorker,
    Fault::UnfitWorker,
    Fault::Stranger,
];

/// Those that need a machine for each process.
const OF_MACHINES: [Fault; 10] = [
    Fault::PowerCutOfOneMaster,
    Fault::PowerCutOfAllMasters,
    Fault::FullDisk,
    Fault::SlowDisk,
    Fault::ClockStep,
    Fault::Network(NetworkFault::CutOffLeader),
    Fault::Network(NetworkFault::CutOffMaster),
    Fault::Network(NetworkFault::OneWayCut),
    Fault::Network(NetworkFault::PacketLoss),
    Fault::Network(NetworkFault::UnreachableWorker),
];

impl Fault {
    /// Those that can be inflicted on this cluster.
    pub(super) fn possible(cluster: &Cluster) -> Vec<Self> {
        let mut possible = OF_PROCESSES.to_vec();
        if cluster.machines().is_some() {
            possible.extend(OF_MACHINES);
        }
        possible
    }
}

/// The fault lasts for `span`; afterwards everything runs again.
pub(super) async fn inflict(
    cluster: &mut Cluster,
    fault: Fault,
    span: Duration,
    random: &mut StdRng,
) {
    let masters = cluster.master_ids();
    let master = *masters.choose(random).unwrap();
    let worker = cluster.started_workers().choose(random).unwrap().clone();
    match fault {
        Fault::KillLeader => {
            let leader = cluster.leader().await;
            kill_masters(cluster, &[leader], span).await;
        }
        Fault::KillMaster => kill_masters(cluster, &[master], span).await,
        Fault::KillAllMasters => kill_masters(cluster, &masters, span).await,
        Fault::FreezeLeader => {
            let leader = cluster.leader().await;
            cluster.master(leader).freeze();
            tokio::time::sleep(span).await;
            cluster.master(leader).thaw();
        }
        Fault::StopMaster => {
            cluster.master(master).terminate();
            cluster.master_mut(master).wait(Duration::from_secs(16)).await;
            cluster.master_mut(master).restart();
        }
        // Refused where nobody can take over, which is as good.
        Fault::HandOver => drop(cluster.clusterctl(&["leader", "transfer"]).await),
        Fault::KillWorker => {
            cluster.worker_mut(&worker).process().kill();
            tokio::time::sleep(span).await;
            cluster.worker_mut(&worker).start();
        }
        Fault::FreezeWorker => {
            cluster.worker_mut(&worker).process().freeze();
            tokio::time::sleep(span.saturating_mul(2)).await;
            cluster.worker_mut(&worker).process().thaw();
        }
        Fault::DuplicateWorker => duplicate(cluster, &worker, span).await,
        Fault::UnfitWorker => spoil_tasks_directory(cluster, &worker, span).await,
        Fault::Stranger => stranger::call_everybody(cluster, random).await,
        Fault::PowerCutOfOneMaster => cut_power(cluster, &[master], span).await,
        Fault::PowerCutOfAllMasters => cut_power(cluster, &masters, span).await,
        Fault::Network(fault) => {
            spoil_network(cluster, fault, (master, &worker), span, random).await;
        }
        Fault::FullDisk => fill_disk(cluster, master, span).await,
        Fault::SlowDisk => {
            let shims = machines(cluster).shims(master).clone();
            shims.slow_syncs(Duration::from_millis(random.random_range(20..700)));
            tokio::time::sleep(span).await;
            shims.slow_syncs(Duration::ZERO);
        }
        Fault::ClockStep => {
            let shims = machines(cluster).shims(master).clone();
            let days = random.random_range(1..20) * if random.random() { 1 } else { -1 };
            shims.set_clock(days * 24 * 60 * 60);
            tokio::time::sleep(span).await;
            shims.set_clock(0);
        }
    }
}

/// Panics if a master or worker has ended by itself: faults end processes, and start them again.
pub(super) fn check_nobody_gave_up(cluster: &mut Cluster) {
    for id in cluster.master_ids() {
        let master = cluster.master_mut(id);
        assert!(master.is_running(), "master {id} has ended by itself");
    }
    for name in cluster.started_workers() {
        let worker = cluster.worker_mut(&name).process();
        assert!(worker.is_running(), "{name} has ended by itself");
    }
}

fn machines(cluster: &Cluster) -> &Machines {
    cluster.machines().unwrap()
}

async fn kill_masters(cluster: &mut Cluster, ids: &[u64], span: Duration) {
    for id in ids {
        cluster.master_mut(*id).kill();
    }
    tokio::time::sleep(span).await;
    for id in ids {
        cluster.master_mut(*id).restart();
    }
}

/// Whatever was not synced is gone.
async fn cut_power(cluster: &mut Cluster, ids: &[u64], span: Duration) {
    for id in ids {
        cluster.master(*id).freeze();
    }
    for id in ids {
        machines(cluster).disk(*id).cut_power();
    }
    for id in ids {
        cluster.master_mut(*id).kill();
    }
    tokio::time::sleep(span).await;
    for id in ids {
        machines(cluster).disk(*id).power_on();
        cluster.master_mut(*id).restart();
    }
}

async fn spoil_network(
    cluster: &Cluster,
    fault: NetworkFault,
    (master, worker): (u64, &str),
    span: Duration,
    random: &mut StdRng,
) {
    let name = |id: u64| format!("master-{id}");
    let masters = cluster.master_ids().into_iter().map(name).collect::<Vec<_>>();
    let everybody = masters.iter().cloned().chain(cluster.started_workers()).collect::<Vec<_>>();
    let network = machines(cluster).network();
    let healed_later = match fault {
        NetworkFault::CutOffLeader => network.cut_off(&name(cluster.leader().await), &everybody),
        NetworkFault::CutOffMaster => network.cut_off(&name(master), &masters),
        NetworkFault::OneWayCut => {
            let to = *cluster.others(master).choose(random).unwrap();
            network.cut_one_way(&name(master), &name(to))
        }
        NetworkFault::PacketLoss => network.lossy(&name(master), random.random_range(5..40)),
        NetworkFault::UnreachableWorker => {
            network.close_port(worker, cluster.worker(worker).port())
        }
    };
    tokio::time::sleep(span).await;
    drop(healed_later);
}

/// A master without room ends, and may not come up again before there is some.
async fn fill_disk(cluster: &mut Cluster, master: u64, span: Duration) {
    machines(cluster).disk(master).fill();
    tokio::time::sleep(span).await;
    machines(cluster).disk(master).free();
    if !cluster.master_mut(master).is_running() {
        let log = cluster.master(master).log();
        assert!(log.contains("No space left"), "master {master} ended for another reason");
        cluster.master_mut(master).restart();
    }
}

/// A second process takes itself for the worker; the first one must not be disturbed by it.
async fn duplicate(cluster: &mut Cluster, worker: &str, span: Duration) {
    let spare = cluster.spare_worker();
    let masters = cluster.grpc_addresses().join(",");
    let mut double = cluster.worker(worker).double_on(cluster.worker(&spare), &masters);
    tokio::time::sleep(span).await;
    double.kill();
}

/// Replaces the directory of the worker's tasks by a plain file, so that none can be started.
async fn spoil_tasks_directory(cluster: &Cluster, worker: &str, span: Duration) {
    let tasks = cluster.worker(worker).data_dir().join("tasks");
    let aside = tasks.with_extension("aside");
    std::fs::rename(&tasks, &aside).unwrap();
    std::fs::write(&tasks, "not a directory").unwrap();
    tokio::time::sleep(span).await;
    std::fs::remove_file(&tasks).unwrap();
    std::fs::rename(&aside, &tasks).unwrap();
}
