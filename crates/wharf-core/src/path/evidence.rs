//! Silences that killed, and silences that did no harm, counted by their length. Old ones lose weight.

use crate::time::Millis;

/// So many deaths at silences within a factor of two are no accident.
pub const DEATHS_NEEDED: u32 = 3;
/// So many survivals make a silence harmless.
const SURVIVALS_NEEDED: u32 = 3;
/// Of so many connections that lived through a silence as long or longer, at least one must have been killed: a path
/// may be shared by clients behind something that forgets and others.
const SURVIVALS_A_DEATH: u32 = 4;
/// Deaths that are closer together than this are one event: a router that restarts kills all at once.
const DEATHS_APART_MS: u64 = 1_000;
/// What is counted loses half of its weight in this time.
const HALF_LIFE_MS: u64 = 30 * 60 * 1_000;
/// No count of deaths grows beyond this, and none of survivals beyond what a byte holds: the past does not outweigh what
/// is new for long.
const MOST_DEATHS: u8 = 32;

/// The lengths are told apart by so many steps of a fifth, from a second to an hour.
const STEPS: usize = 46;
const FIRST_MS: u64 = 1_000;
/// So many steps are about a factor of two.
const FACTOR_TWO: usize = 4;

/// Where each step begins, in milliseconds.
const EDGES: [u64; STEPS] = {
    let mut edges = [FIRST_MS; STEPS];
    let mut at = 1;
    while at < STEPS {
        edges[at] = edges[at - 1] + edges[at - 1] / 5;
        at += 1;
    }
    edges
};

/// The step in which a silence lies; those beyond the ends in the first and the last.
fn step(silence_ms: u64) -> usize {
    EDGES.partition_point(|edge| *edge <= silence_ms).saturating_sub(1)
}

/// Counted silences. About 120 bytes.
#[derive(Debug, Clone)]
pub struct Evidence {
    deaths: [u8; STEPS],
    survivals: [u8; STEPS],
    last_death: Option<Millis>,
    /// The counts have lost the weight that they had to until then.
    aged: Millis,
}

impl Evidence {
    pub fn new(now: Millis) -> Self {
        Self { deaths: [0; STEPS], survivals: [0; STEPS], last_death: None, aged: now }
    }

    pub fn survived(&mut self, silence_ms: u64, now: Millis) {
        self.age(now);
        let count = &mut self.survivals[step(silence_ms)];
        *count = count.saturating_add(1);
    }

    pub fn killed(&mut self, silence_ms: u64, now: Millis) {
        self.age(now);
        if self.last_death.is_some_and(|last| now.ms_since(last) < DEATHS_APART_MS) {
            return;
        }
        self.last_death = Some(now);
        let count = &mut self.deaths[step(silence_ms)];
        *count = (*count + 1).min(MOST_DEATHS);
    }

    /// The shortest silence that kills, if any does: several deaths are about there, and survivals of such silences and
    /// longer ones do not outweigh the deaths.
    pub fn kills_at_ms(&self) -> Option<u32> {
        let sum = |counts: &[u8]| counts.iter().map(|count| u32::from(*count)).sum::<u32>();
        let kills = |from: &usize| {
            let near = &self.deaths[*from..(*from + FACTOR_TWO).min(STEPS)];
            let (deaths, survivals) = (sum(&self.deaths[*from..]), sum(&self.survivals[*from..]));
            near[0] > 0 && sum(near) >= DEATHS_NEEDED && deaths * SURVIVALS_A_DEATH > survivals
        };
        let shortest = (0..STEPS).find(kills)?;
        u32::try_from(EDGES[shortest]).ok()
    }

    /// Several silences of this length or longer have done no harm.
    pub fn harmless(&self, silence_ms: u32) -> bool {
        let longer = &self.survivals[step(silence_ms.into())..];
        longer.iter().map(|count| u32::from(*count)).sum::<u32>() >= SURVIVALS_NEEDED
    }

    /// Deaths and survivals, with the weight that they have.
    pub fn counts(&self) -> (u32, u32) {
        let sum = |counts: &[u8; STEPS]| counts.iter().map(|count| u32::from(*count)).sum();
        (sum(&self.deaths), sum(&self.survivals))
    }

    /// Takes the weight from what is old.
    pub fn age(&mut self, now: Millis) {
        let half_lives = now.ms_since(self.aged) / HALF_LIFE_MS;
        if half_lives == 0 {
            return;
        }
        self.aged = self.aged.after_ms(half_lives * HALF_LIFE_MS);
        let shift = u32::try_from(half_lives).unwrap_or(u32::MAX);
        for count in self.deaths.iter_mut().chain(&mut self.survivals) {
            *count = count.checked_shr(shift).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_reach_from_a_second_to_an_hour() {
        assert_eq!((step(0), step(1_000), step(1_199), step(1_200)), (0, 0, 0, 1));
        assert_eq!(step(u64::MAX), STEPS - 1);
        assert!(EDGES[STEPS - 1] > 3_000_000, "{}", EDGES[STEPS - 1]);
        assert!(EDGES[FACTOR_TWO] >= 2 * EDGES[0] && EDGES[FACTOR_TWO] < 5 * EDGES[0] / 2);
    }

    #[test]
    fn what_is_old_loses_its_weight() {
        let mut evidence = Evidence::new(Millis(0));
        for at in 0..8 {
            evidence.killed(5_000, Millis(at * 2_000));
        }
        assert_eq!(evidence.counts(), (8, 0));
        evidence.age(Millis(HALF_LIFE_MS));
        assert_eq!(evidence.counts(), (4, 0));
        evidence.age(Millis(u64::MAX));
        assert_eq!(evidence.counts(), (0, 0));
    }

    #[test]
    fn counts_are_bounded() {
        let mut evidence = Evidence::new(Millis(0));
        for at in 0..1_000 {
            evidence.killed(5_000, Millis(at * 1_000));
            evidence.survived(5_000, Millis(at * 1_000));
        }
        assert_eq!(evidence.counts(), (u32::from(MOST_DEATHS), u32::from(u8::MAX)));
    }
}
