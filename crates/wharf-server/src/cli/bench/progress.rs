//! A line that says how far a run is; nothing where standard error is no terminal.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

pub struct Progress {
    bar: ProgressBar,
    /// What is counted.
    what: &'static str,
    /// Time that was measured so far, and since when it goes on.
    done: Cell<Duration>,
    since: Cell<Instant>,
    began: Cell<Instant>,
    name: Cell<String>,
}

impl Progress {
    /// `operation`: what is counted.
    pub fn new(total: Duration, operation: Option<&'static str>) -> Self {
        Self::with(ProgressBar::new(total.as_millis() as u64), operation)
    }

    /// Says nothing, for what is not measured.
    pub fn hidden() -> Self {
        Self::with(ProgressBar::hidden(), None)
    }

    fn with(bar: ProgressBar, operation: Option<&'static str>) -> Self {
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        let now = || Cell::new(Instant::now());
        let (what, name) = (operation.unwrap_or(""), Cell::default());
        Self { bar, what, done: Cell::default(), since: now(), began: now(), name }
    }

    /// Says what happens now. Time begins to count anew at the next [`tick`](Self::tick).
    pub fn say(&self, text: String) {
        self.bar.set_message(text.clone());
        self.name.set(text);
        let now = Instant::now();
        self.since.set(now);
        self.began.set(now);
    }

    /// Time passes; so many operations were done since [`say`](Self::say).
    pub fn tick(&self, operations: u64) {
        let now = Instant::now();
        self.done.set(self.done.get() + (now - self.since.replace(now)));
        let position = self.done.get().as_millis() as u64;
        if self.bar.is_hidden() || position == self.bar.position() {
            return;
        }
        self.bar.set_position(position);
        let elapsed = (now - self.began.get()).as_secs_f64();
        if operations > 0 && elapsed > 0.0 {
            let name = self.name.take();
            let rate = operations as f64 / elapsed;
            self.bar.set_message(format!("{name}, {rate:.0} {}/s", self.what));
            self.name.set(name);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
