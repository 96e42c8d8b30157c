//! How often programs were run, by action and result.

use std::sync::atomic::{AtomicU64, Ordering};

use super::input::Action;
use crate::metrics::Page;

/// The result of a program's run.
#[derive(Clone, Copy, PartialEq)]
pub enum RunResult {
    /// The program has succeeded, or said yes.
    Success,
    /// The program has said no, which only `verify` may.
    Refused,
    Failure,
}

impl RunResult {
    /// The names of the results, in the order of the variants.
    const NAMES: [&str; 3] = ["success", "refused", "failure"];
}

/// Counters, by action and result.
#[derive(Default)]
pub struct Runs([[AtomicU64; 3]; 4]);

impl Runs {
    pub fn count(&self, action: Action, result: RunResult) {
        self.0[action as usize][result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Writes these counts; without them the metric has no samples.
    pub fn write(runs: Option<&Self>, page: &mut Page) {
        let mut family = page.counter("applier_runs_total", "Runs of appliers, by action and result.");
        for (action, counts) in runs.iter().flat_map(|runs| Action::NAMES.into_iter().zip(&runs.0)) {
            for (result, count) in RunResult::NAMES.into_iter().zip(counts) {
                // Only `verify` may say no.
                if result != "refused" || action == "verify" {
                    let count = count.load(Ordering::Relaxed);
                    family = family.sample(&[("action", action), ("result", result)], count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_told_by_action_and_result() {
        let runs = Runs::default();
        runs.count(Action::Apply, RunResult::Success);
        runs.count(Action::Apply, RunResult::Success);
        runs.count(Action::Verify, RunResult::Refused);
        runs.count(Action::Retire, RunResult::Failure);
        let mut page = Page::default();
        Runs::write(Some(&runs), &mut page);
        let page = page.finish();
        let samples = page.lines().filter_map(|line| line.strip_prefix("jarvis_secretsd_applier_runs_total"));
        let expected = [
            r#"{action="prepare",result="success"} 0"#,
            r#"{action="prepare",result="failure"} 0"#,
            r#"{action="apply",result="success"} 2"#,
            r#"{action="apply",result="failure"} 0"#,
            r#"{action="verify",result="success"} 0"#,
            r#"{action="verify",result="refused"} 1"#,
            r#"{action="verify",result="failure"} 0"#,
            r#"{action="retire",result="success"} 0"#,
            r#"{action="retire",result="failure"} 1"#,
        ];
        assert_eq!(samples.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn without_appliers_the_metric_is_only_described() {
        crate::metrics::assert_in_example(|page| Runs::write(None, page));
    }
}
