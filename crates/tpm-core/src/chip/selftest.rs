//! The chip's self test.

use crate::{
    Error, Operation, ResponseCode, Result,
    command::{Command, CommandCode, Response, exception::Exception},
    error::rc,
};

/// The result of the last self test.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestResult {
    /// The chip's conclusion.
    pub outcome: Outcome,
    /// Data of the manufacturer, in the manufacturer's own format.
    pub details: Vec<u8>,
}

/// The conclusion of a self test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All tests passed.
    Passed,
    /// Some functions are not tested yet. The chip tests them before their first use.
    Incomplete,
    /// A test failed. The chip is in failure mode until it is reset.
    Failed,
    /// Another response code.
    Other(ResponseCode),
}

/// Tests all functions, also those that were tested before, and waits for the end.
///
/// # Errors
///
/// [`Error::FailureMode`](crate::Error::FailureMode) if the test fails.
pub fn full(op: &Operation<'_>) -> Result<()> {
    run(op, Command::new(CommandCode::SelfTest).param_u8(1)).map(drop)
}

/// Tests the functions that have not been tested since the chip started.
///
/// # Errors
///
/// [`Error::FailureMode`](crate::Error::FailureMode) if the test fails.
pub fn incremental(op: &Operation<'_>) -> Result<()> {
    run(op, Command::new(CommandCode::SelfTest).param_u8(0)).map(drop)
}

/// Asks for the tests of `algorithms`, and returns those that the chip has still to test.
///
/// Both lists hold `TPM_ALG_ID`s.
///
/// # Errors
///
/// Failures of the chip.
pub fn algorithms(op: &Operation<'_>, algorithms: &[u16]) -> Result<Vec<u16>> {
    let count = u32::try_from(algorithms.len()).map_err(|_| Error::Malformed("algorithms"))?;
    let command = Command::new(CommandCode::IncrementalSelfTest).param_u32(count);
    let command = algorithms
        .iter()
        .fold(command, |command, &id| command.param_u16(id));
    let response = run(op, command)?;
    let mut reader = response.reader();
    (0..reader.u32()?).map(|_| Ok(reader.u16()?)).collect()
}

/// The result of the last test. A chip in failure mode answers this command, too.
///
/// # Errors
///
/// Failures of the connection.
pub fn result(op: &Operation<'_>) -> Result<TestResult> {
    let response = run(op, Command::new(CommandCode::GetTestResult))?;
    let mut reader = response.reader();
    let details = reader.sized()?.to_vec();
    let outcome = match reader.u32()? {
        0 => Outcome::Passed,
        // TPM_RC_NEEDS_TEST
        0x153 | rc::TESTING => Outcome::Incomplete,
        rc::FAILURE => Outcome::Failed,
        code => Outcome::Other(ResponseCode(code)),
    };
    Ok(TestResult { outcome, details })
}

fn run(op: &Operation<'_>, command: Command<'_>) -> Result<Response> {
    op.run_unauthenticated(command, Exception::Shown)
}
