//! `audit`: shows the trail of orders.

use std::io::{self, Write};
use std::time::Duration;

use proto::client::Client;
use proto::v1;

use super::Context;
use crate::args::{AuditArgs, Format};
use crate::failure::Failure;
use crate::output::{self, Style};

/// Most orders on one page.
const PAGE_MAX: usize = 1_000;
/// Pause between two looks at what is new.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run(context: &Context, args: AuditArgs) -> Result<(), Failure> {
    let client = context.client()?;
    let is_followed = args.follow;
    let selection = v1::ListAuditRequest {
        principal: args.principal,
        action: args.action,
        object_prefix: args.object,
        since: args.since,
        until: args.until,
        outcome: args.outcome,
        ..v1::ListAuditRequest::default()
    };
    let records = latest(&client, &selection, args.limit).await?;
    if !is_followed {
        return context.output.data(records.as_slice(), output::audit);
    }
    follow(context, &client, selection, records).await
}

/// Returns the latest orders, oldest first.
async fn latest(
    client: &Client,
    selection: &v1::ListAuditRequest,
    count: usize,
) -> Result<Vec<v1::AuditRecord>, Failure> {
    let mut records = Vec::new();
    let mut cursor = None;
    while records.len() < count {
        let limit = u32::try_from((count - records.len()).min(PAGE_MAX)).unwrap_or(u32::MAX);
        let page =
            client.audit(v1::ListAuditRequest { limit, cursor, ..selection.clone() }).await?;
        records.extend(page.records);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    records.reverse();
    Ok(records)
}

async fn follow(
    context: &Context,
    client: &Client,
    selection: v1::ListAuditRequest,
    mut records: Vec<v1::AuditRecord>,
) -> Result<(), Failure> {
    let mut cursor = 0;
    let mut is_first = true;
    loop {
        if is_first || !records.is_empty() {
            print(context, &records, is_first)?;
        }
        is_first = false;
        cursor = records.last().map_or(cursor, |last| last.index);
        let request = v1::ListAuditRequest {
            cursor: Some(cursor.to_string()),
            oldest_first: true,
            ..selection.clone()
        };
        let page = client.audit(request).await?;
        let next = page.next_cursor.and_then(|next| next.parse().ok());
        cursor = next.unwrap_or(cursor);
        records = page.records;
        if records.is_empty() && next.is_none() {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
}

/// Prints some orders: as JSON, each on a line of its own.
fn print(context: &Context, records: &[v1::AuditRecord], has_heading: bool) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match context.output.format() {
        Format::Json => {
            for record in records {
                writeln!(stdout, "{}", serde_json::to_string(record)?)?;
            }
        }
        Format::Table | Format::Name => {
            let table = output::audit(records, Style::Plain);
            let rows = table.lines().skip(usize::from(!has_heading));
            for row in rows {
                writeln!(stdout, "{row}")?;
            }
        }
    }
    Ok(stdout.flush()?)
}
