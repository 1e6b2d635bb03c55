//! Keeps the trail of orders, within its bounds.

use std::sync::Arc;

use super::Apply;
use super::order::Order;
use crate::{Actor, AuditRecord, Change, Key, LogIndex, PruneTrail, Record, Rejection, Reply};

impl Apply<'_> {
    /// Puts an order on record, whatever became of it. Others make room, a bounded number at a time.
    pub(super) fn record(&mut self, by: Actor, order: Order, reply: &Result<Reply, Rejection>) {
        let (action, object, detail, outcome) = order.ended(reply);
        let newest = self.state.trail().next_back();
        let record = AuditRecord {
            number: newest.map_or(0, |record| record.number).saturating_add(1),
            index: self.index,
            at: self.now,
            actor: by,
            action,
            object,
            detail,
            outcome,
        };
        let record = Arc::new(record.cut(self.limits()));
        self.state.put_audit_record(Arc::clone(&record));
        self.changes.push(Change::Put(Record::Audit(record)));

        for _ in 0..self.limits().audit_pruned_max {
            let Some(oldest) = self.state.trail_excess() else { break };
            self.remove_audit_record(oldest);
        }
    }

    /// Forgets records for their age, a bounded number at a time. The newest one stays: the next one
    /// counts on from it.
    pub(super) fn prune_trail(&mut self, command: PruneTrail) -> Result<Reply, Rejection> {
        let PruneTrail { term, up_to } = command;
        self.check_term(term)?;
        let forgettable = self.state.trail().len().saturating_sub(1);
        let old = self.state.trail().map(|record| record.index);
        let old = old.take_while(|index| *index <= up_to).take(forgettable);
        let old = old.take(self.limits().audit_pruned_max).collect::<Vec<_>>();
        for index in old {
            self.remove_audit_record(index);
        }
        Ok(Reply::Done)
    }

    fn remove_audit_record(&mut self, index: LogIndex) {
        self.state.remove_audit_record(index);
        self.changes.push(Change::Delete(Key::Audit(index)));
    }
}
