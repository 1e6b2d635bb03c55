//! Masters that come, go and move.

use super::{Cluster, Master, builder};

impl Cluster {
    /// Starts one more master, which joins; returns its number.
    pub fn add_master(&mut self) -> u64 {
        let id = self.masters.iter().map(Master::id).max().unwrap_or(0) + 1;
        let addresses = builder::addresses(id, self.machines.as_ref());
        let through = self.grpc_addresses();
        self.masters.push(Master::join(id, self.dir.path(), addresses, &through));
        id
    }

    /// Forgets a master that has ended for good.
    pub fn forget_master(&mut self, id: u64) {
        assert!(!self.master_mut(id).is_running(), "master {id} has not ended");
        self.masters.retain(|master| master.id() != id);
    }

    /// Takes a master's disk away and starts it again with an empty one.
    pub fn wipe_master(&mut self, id: u64) {
        let master = self.master_mut(id);
        master.kill();
        std::fs::remove_dir_all(master.data_dir()).unwrap();
        master.restart();
    }

    /// Kills all masters and starts them again at other addresses, of which each is told.
    pub fn move_masters(&mut self) {
        for master in &mut self.masters {
            master.kill();
        }
        let places = self
            .masters
            .iter()
            .map(|master| (master.id(), builder::addresses(master.id(), self.machines.as_ref())));
        let places = places.collect::<Vec<_>>();
        let members = places.iter().map(|(id, place)| format!("{id}={}", place.grpc));
        let members = members.collect::<Vec<_>>().join(",");
        for (master, (_, place)) in self.masters.iter_mut().zip(places) {
            master.move_to(place, &members);
            master.restart();
        }
    }
}
