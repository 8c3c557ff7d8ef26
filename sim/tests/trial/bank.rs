//! A bank: accounts, transfers between them, and a limit to what an account may send altogether. With mistakes that
//! can be switched on, as people make them.

use cretoai_core::application::{Application, RestoreError};
use cretoai_core::bytes::Bytes;
use cretoai_core::outbox::Execution;
use std::sync::atomic::{AtomicU64, Ordering};

/// Accounts are numbered from 0 up to this one.
pub(crate) const ACCOUNTS: u8 = 6;

/// What is in each at the beginning.
pub(crate) const START: u64 = 100;

/// What an account may send altogether.
pub(crate) const LIMIT: u64 = 150;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Both balances are read before either is written: who pays himself gets rich.
    PaysTwice,
    /// What was sent so far is not in snapshots: whoever restarts forgets it.
    ForgetsWhatWasSent,
    /// Answers depend on the process: as if it had iterated over a hash map, or asked for the time.
    AsksTheMachine,
}

/// The state of a bank.
#[derive(Debug)]
pub(crate) struct Bank {
    balances: Vec<u64>,
    sent: Vec<u64>,
    bug: Option<Bug>,
    /// Which of all instances in this process it is.
    instance: u64,
}

/// A transfer as the bytes of an operation.
pub(crate) fn transfer(from: u8, to: u8, amount: u8) -> Vec<u8> {
    vec![b'T', from, to, amount]
}

/// The accounts and the amount of a transfer, if it is one: anybody may send any bytes.
pub(crate) fn parse(op: &[u8]) -> Option<(u8, u8, u64)> {
    match *op {
        [b'T', from, to, amount] if from < ACCOUNTS && to < ACCOUNTS => Some((from, to, amount.into())),
        _ => None,
    }
}

impl Bank {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        static INSTANCES: AtomicU64 = AtomicU64::new(0);
        let accounts = usize::from(ACCOUNTS);
        let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
        Self { balances: vec![START; accounts], sent: vec![0; accounts], bug, instance }
    }

    /// The balance of the sender after a transfer.
    fn transfer(&mut self, op: &[u8]) -> Result<u64, &'static str> {
        let (from, to, amount) = parse(op).ok_or("not a transfer")?;
        let (from, to) = (usize::from(from), usize::from(to));
        if self.balances[from] < amount {
            return Err("too little money");
        }
        if LIMIT < self.sent[from] + amount {
            return Err("beyond the limit");
        }
        let before = self.balances[to];
        self.balances[from] -= amount;
        self.balances[to] = if self.bug == Some(Bug::PaysTwice) { before + amount } else { self.balances[to] + amount };
        self.sent[from] += amount;
        let asks = self.bug == Some(Bug::AsksTheMachine) && self.instance.is_multiple_of(7);
        Ok(self.balances[from] + u64::from(asks))
    }
}

impl Application for Bank {
    fn execute(&mut self, execution: &Execution) -> Vec<Bytes> {
        let answer = |request: &std::sync::Arc<cretoai_core::request::ClientRequest>| {
            let text = match self.transfer(&request.request.op.0) {
                Ok(balance) => format!("done, {balance} left"),
                Err(reason) => format!("refused: {reason}"),
            };
            Bytes(text.into_bytes())
        };
        execution.requests.iter().map(answer).collect()
    }

    fn snapshot(&self) -> Vec<Bytes> {
        let numbers = |list: &[u64]| Bytes(list.iter().flat_map(|number| number.to_le_bytes()).collect());
        if self.bug == Some(Bug::ForgetsWhatWasSent) {
            return vec![numbers(&self.balances)];
        }
        vec![numbers(&self.balances), numbers(&self.sent)]
    }

    fn restore(&mut self, chunks: &[&[u8]]) -> Result<(), RestoreError> {
        let fresh = Self::new(self.bug);
        (self.balances, self.sent) = (fresh.balances, fresh.sent);
        for (chunk, (bytes, list)) in chunks.iter().zip([&mut self.balances, &mut self.sent]).enumerate() {
            let numbers: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
            if numbers.len() != list.len() {
                return Err(RestoreError { chunk, reason: "another number of accounts".to_owned() });
            }
            *list = numbers;
        }
        Ok(())
    }
}
