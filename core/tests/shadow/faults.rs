//! A fault handler that records instead of stopping, so that a test can see what was reported and go on.

use std::cell::RefCell;

use allotment_core::{Fault, FaultKind};

/// One report, taken out of the borrowed [`Fault`].
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) kind: FaultKind,
    pub(crate) address: usize,
    pub(crate) line: String,
}

thread_local! {
    static REPORTS: RefCell<Vec<Report>> = const { RefCell::new(Vec::new()) };
}

/// The handler: remembers the fault for [`take`] and returns, so the operation is refused.
pub(crate) fn record(fault: &Fault) {
    REPORTS.with_borrow_mut(|reports| {
        reports.push(Report {
            kind: fault.kind,
            address: fault.address,
            line: fault.to_string(),
        });
    });
}

/// The faults recorded on this thread since the last call.
pub(crate) fn take() -> Vec<Report> {
    REPORTS.with_borrow_mut(std::mem::take)
}

/// Asserts that nothing was reported since the last [`take`].
#[track_caller]
pub(crate) fn assert_none(after: &str) {
    let reports = take();
    assert!(
        reports.is_empty(),
        "fault reported after {after}: {reports:?}"
    );
}
