//! Calls of operators about the masters themselves.

use cluster_state::MasterId;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use proto::consistency::Consistency;
use proto::convert;
use proto::problem::Problem;
use proto::v1;
use proto::v1::cluster_service_server::ClusterService;
use tonic::{Request, Response, Status};

use super::{caller, reply, reply_unmarked};
use crate::membership_order::MembershipOrder;
use crate::operations::Operations;
use crate::peer::{check_leads_if_forwarded, is_forwarded};
use crate::{ids, wire};

#[derive(Clone, Debug)]
pub(super) struct ClusterEndpoint {
    pub(super) operations: Operations,
}

impl ClusterEndpoint {
    async fn change_members<R>(
        &self,
        request: Request<R>,
    ) -> Result<Response<v1::MemberChanged>, Status>
    where
        MembershipOrder: TryFrom<R, Error = Problem>,
    {
        let changed = Box::pin(async {
            check_leads_if_forwarded(&request, self.operations.is_leading())?;
            if is_forwarded(&request) {
                // The master that passes it on knows who has ordered it, and puts that on record.
                return self.operations.change_members(request.into_inner().try_into()?).await;
            }
            let caller = caller(&request)?;
            self.operations.order_members(request.into_inner().try_into()?, &caller).await
        });
        reply(&self.operations, changed.await, wire::member_changed)
    }
}

#[tonic::async_trait]
impl ClusterService for ClusterEndpoint {
    type SaveSnapshotStream = BoxStream<'static, Result<v1::SnapshotPart, Status>>;

    async fn status(
        &self,
        _: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::ClusterStatus>, Status> {
        let status = self.operations.status(Consistency::Stale.into()).await;
        reply(&self.operations, status, wire::cluster)
    }

    async fn leader(
        &self,
        _: Request<v1::LeaderRequest>,
    ) -> Result<Response<v1::LeaderStatus>, Status> {
        let leader = self.operations.leader_status(Consistency::Stale.into()).await;
        reply(&self.operations, leader, wire::leader)
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::LeaderStatus>, Status> {
        let operations = &self.operations;
        let to = Some(request.get_ref().to).filter(|to| *to > 0).map(MasterId);
        if is_forwarded(&request) {
            let leads = check_leads_if_forwarded(&request, operations.is_leading());
            leads.map_err(Status::from)?;
            return reply(operations, operations.transfer_leader(to).await, wire::leader);
        }
        let transferred = async { operations.order_transfer(to, &caller(&request)?).await };
        reply(operations, transferred.await, wire::leader_view)
    }

    async fn acknowledge_mass_loss(
        &self,
        request: Request<v1::AcknowledgeMassLossRequest>,
    ) -> Result<Response<v1::MassLoss>, Status> {
        let acknowledged =
            async { self.operations.acknowledge_mass_loss(&caller(&request)?).await };
        reply(&self.operations, acknowledged.await, wire::mass_loss)
    }

    async fn save_snapshot(
        &self,
        request: Request<v1::SaveSnapshotRequest>,
    ) -> Result<Response<Self::SaveSnapshotStream>, Status> {
        let sent = async { self.operations.send_snapshot(&caller(&request)?).await };
        let parts = sent.await.map(|bytes| {
            let part = |data: Result<_, Problem>| {
                data.map(|data| v1::SnapshotPart { data }).map_err(Status::from)
            };
            bytes.map(part).boxed()
        });
        reply_unmarked(&self.operations, parts)
    }

    async fn get_config(
        &self,
        request: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::ClusterConfig>, Status> {
        let settings = async {
            let consistency = Consistency::try_from(request.get_ref().consistency)?;
            self.operations.settings(consistency.into()).await
        };
        let settings = settings.await;
        reply(&self.operations, settings, |record| wire::config(&record))
    }

    async fn set_config(
        &self,
        request: Request<v1::SetConfigRequest>,
    ) -> Result<Response<v1::ClusterConfig>, Status> {
        let settings = async {
            let caller = caller(&request)?;
            let change = wire::settings_change(request.into_inner());
            self.operations.set_settings(change, &caller).await
        };
        reply(&self.operations, settings.await, |record| wire::config(&record))
    }

    async fn get_upgrade(
        &self,
        _: Request<v1::GetUpgradeRequest>,
    ) -> Result<Response<v1::UpgradeStatus>, Status> {
        let upgrade = self.operations.upgrade(Consistency::Stale.into()).await;
        reply(&self.operations, upgrade, wire::upgrade)
    }

    async fn set_upgrade(
        &self,
        request: Request<v1::SetUpgradeRequest>,
    ) -> Result<Response<v1::UpgradeStatus>, Status> {
        let held = async {
            let hold = request.get_ref().hold;
            self.operations.hold_level(hold, &caller(&request)?).await
        };
        reply(&self.operations, held.await, wire::upgrade)
    }

    async fn list_orphans(
        &self,
        request: Request<v1::ListOrphansRequest>,
    ) -> Result<Response<v1::OrphanPage>, Status> {
        let listed = async {
            let message = request.get_ref();
            let consistency = Consistency::try_from(message.consistency)?;
            let limit = usize::try_from(message.limit).ok().filter(|limit| *limit > 0);
            let after = ids::cursor(message.cursor.as_deref())?;
            self.operations.orphans(limit, after, consistency.into()).await
        };
        reply(&self.operations, listed.await, wire::orphan_page)
    }

    async fn drop_orphans(
        &self,
        request: Request<v1::DropOrphansRequest>,
    ) -> Result<Response<v1::DropOrphansResponse>, Status> {
        let dropped = async {
            let selection = convert::orphan_selection(request.get_ref())?;
            self.operations.drop_orphans(selection, &caller(&request)?).await
        };
        reply(&self.operations, dropped.await, wire::orphans_dropped)
    }

    async fn list_members(
        &self,
        request: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::MemberList>, Status> {
        let operations = &self.operations;
        let members = if is_forwarded(&request) {
            let leads = check_leads_if_forwarded(&request, operations.is_leading());
            leads.map_err(Status::from)?;
            Ok(operations.mark().on(operations.members_here().await))
        } else {
            operations.members(Consistency::Stale.into()).await
        };
        reply(operations, members, wire::members)
    }

    async fn add_member(
        &self,
        request: Request<v1::AddMemberRequest>,
    ) -> Result<Response<v1::MemberChanged>, Status> {
        self.change_members(request).await
    }

    async fn promote_member(
        &self,
        request: Request<v1::PromoteMemberRequest>,
    ) -> Result<Response<v1::MemberChanged>, Status> {
        self.change_members(request).await
    }

    async fn replace_member(
        &self,
        request: Request<v1::ReplaceMemberRequest>,
    ) -> Result<Response<v1::MemberChanged>, Status> {
        self.change_members(request).await
    }

    async fn remove_member(
        &self,
        request: Request<v1::RemoveMemberRequest>,
    ) -> Result<Response<v1::MemberChanged>, Status> {
        self.change_members(request).await
    }
}
