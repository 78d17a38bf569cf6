//! Requests that are done once.

use super::super::schema::{self, TTL, attr, stage};
use super::{Reader, Row, Writer, value};
use crate::domain::idempotency::{RequestKey, Run, RunStage, SealedAnswer};
use crate::ports::StoreError;

pub(in super::super) fn write_run(run: &Run) -> Row {
    let item = Writer::new(schema::run(&run.request))
        .with(attr::ID, value::text(run.id.as_str()))
        .with(attr::HASH, value::bytes(&run.asked))
        .with(attr::STAGE, value::text(stage_name(&run.stage)))
        .with(attr::EXPIRES_AT, value::time(run.expires_at))
        .with(TTL, value::ttl(run.expires_at));
    match &run.stage {
        RunStage::Running { until } => item.with(attr::LEASE_UNTIL, value::time(*until)),
        RunStage::Answered(answer) => item
            .with(attr::WRAPPED, value::bytes(&answer.wrapped))
            .with(attr::SEALED, value::bytes(&answer.sealed)),
    }
    .done()
}

pub(in super::super) fn stage_name(at: &RunStage) -> &'static str {
    match at {
        RunStage::Running { .. } => stage::RUNNING,
        RunStage::Answered(_) => stage::ANSWERED,
    }
}

pub(in super::super) fn read_run(request: RequestKey, row: &Row) -> Result<Run, StoreError> {
    let item = Reader::new(row, "run of a request");
    Ok(Run {
        request,
        asked: item.hash(attr::HASH)?,
        id: item.id(attr::ID)?,
        stage: match item.text(attr::STAGE)? {
            stage::RUNNING => RunStage::Running {
                until: item.time(attr::LEASE_UNTIL)?,
            },
            stage::ANSWERED => RunStage::Answered(SealedAnswer {
                wrapped: item.bytes(attr::WRAPPED)?,
                sealed: item.bytes(attr::SEALED)?,
            }),
            _ => return Err(item.corrupt()),
        },
        expires_at: item.time(attr::EXPIRES_AT)?,
    })
}
