//! `orphan`: shows and drops results of attempts that a restored cluster does not know.

use proto::client::Client;
use proto::v1;

use super::Context;
use crate::args::OrphanCommand;
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(context: &Context, command: OrphanCommand) -> Result<(), Failure> {
    let client = context.client()?;
    match command {
        OrphanCommand::List => {
            let (orphans, displaced) = all(&client).await?;
            context.output.data(orphans.as_slice(), output::orphans)?;
            if displaced > 0 {
                context.output.message(format_args!(
                    "{displaced} more had to make room for later ones, and are gone"
                ));
            }
            Ok(())
        }
        OrphanCommand::Drop { orphan_ids, all: false } => {
            drop_orphans(context, &client, v1::DropOrphansRequest { orphan_ids, up_to: None }).await
        }
        OrphanCommand::Drop { all: true, .. } => {
            let (orphans, _) = all(&client).await?;
            let Some(last) = orphans.into_iter().next_back() else {
                context.output.message("there are none");
                return Ok(());
            };
            let request =
                v1::DropOrphansRequest { orphan_ids: Vec::new(), up_to: Some(last.orphan_id) };
            drop_orphans(context, &client, request).await
        }
    }
}

/// Returns all of them, and the number of those that the cluster could not keep.
async fn all(client: &Client) -> Result<(Vec<v1::Orphan>, u64), Failure> {
    let mut orphans = Vec::new();
    let mut cursor = None;
    loop {
        let request = v1::ListOrphansRequest { cursor, ..v1::ListOrphansRequest::default() };
        let page = client.orphans(request).await?;
        orphans.extend(page.orphans);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok((orphans, page.displaced));
        }
    }
}

async fn drop_orphans(
    context: &Context,
    client: &Client,
    request: v1::DropOrphansRequest,
) -> Result<(), Failure> {
    let dropped = client.drop_orphans(request).await?;
    context.output.message(format_args!("dropped {dropped}"));
    Ok(())
}
