//! The plan gate: which plans may create or change connectors.

/// The ordered list of plans and the least one that may manage connectors.
#[derive(Clone, Debug)]
pub struct PlanGate {
    plans: Vec<String>,
    required: String,
}

/// Why a plan gate cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("required plan {0:?} is not in the list of plans")]
pub struct UnknownPlan(String);

impl PlanGate {
    /// A gate over `plans`, lowest first.
    ///
    /// # Errors
    /// When `required` is not among them: such a gate would refuse or admit everyone.
    pub fn new(plans: Vec<String>, required: String) -> Result<Self, UnknownPlan> {
        if plans.contains(&required) {
            Ok(Self { plans, required })
        } else {
            Err(UnknownPlan(required))
        }
    }

    /// Whether a workspace on `plan` may create or change connectors. A plan that is not in
    /// the list may not: an unknown plan is a mistake, not an upgrade.
    pub fn admits(&self, plan: &str) -> bool {
        let rank = |name: &str| self.plans.iter().position(|listed| listed == name);
        rank(plan) >= rank(&self.required) && rank(plan).is_some()
    }

    /// The least plan that is admitted.
    pub fn required(&self) -> &str {
        &self.required
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> PlanGate {
        let plans = ["free", "starter", "builder", "pro", "elite"]
            .map(String::from)
            .to_vec();
        PlanGate::new(plans, "builder".into()).unwrap()
    }

    #[test]
    fn builder_and_above_are_admitted_and_nothing_else() {
        let admitted: Vec<_> = ["free", "starter", "builder", "pro", "elite", "", "Builder"]
            .into_iter()
            .filter(|plan| gate().admits(plan))
            .collect();
        assert_eq!(admitted, ["builder", "pro", "elite"]);
    }

    #[test]
    fn a_gate_on_an_unlisted_plan_cannot_be_built() {
        assert!(PlanGate::new(vec!["free".into()], "pro".into()).is_err());
    }
}
