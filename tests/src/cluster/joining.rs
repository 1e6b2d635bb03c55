//! Workers that join with a token.

use super::{Cluster, Worker};

impl Cluster {
    /// A worker that nobody has registered, without a certificate, which joins with such a token when
    /// it is started. Returns its name.
    pub fn joining_worker(&mut self, token: &str) -> String {
        let number = self.workers.len() + 1;
        let mut worker = Worker::new(number, self.dir.path(), None, None, &self.worker_args);
        worker.set_program(self.release.worker());
        worker.set_masters(&self.grpc_addresses().join(","));
        worker.add_arg("--join-token", token);
        let name = worker.name().to_owned();
        self.workers.push(worker);
        name
    }
}
