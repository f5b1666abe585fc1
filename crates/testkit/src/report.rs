//! Status after a pass: the controller's fourth step, on plain data.

use crate::act::Acted;
use crate::census::Census;
use crate::failure::Failure;
use crate::world::World;
use cloneset_api::CloneSetStatus;
use cloneset_plan::{Desired, Plan};
use cloneset_status::{ConditionUpdate, Observed, Wait, compute};

impl World {
    /// Writes status if it says something new; true when it did. `seen` is what the plan was made on.
    pub(crate) fn report(
        &mut self,
        desired: &Desired,
        plan: &Plan,
        acted: &Acted,
        seen: Census,
    ) -> Result<bool, Failure> {
        let before = self.store.cloneset.status.clone();
        let stored = before.clone().unwrap_or_default();
        let after = self.next_status(&stored, desired, plan, acted);
        self.judge(|oracle| oracle.reported(&stored, &after, seen))?;
        let changed = before.as_ref() != Some(&after);
        if changed {
            self.store
                .change_cloneset(|cloneset| cloneset.status = Some(after));
        }
        Ok(changed)
    }

    fn next_status(
        &self,
        stored: &CloneSetStatus,
        desired: &Desired,
        plan: &Plan,
        acted: &Acted,
    ) -> CloneSetStatus {
        let outlook = &plan.outlook;
        let named = |name: &Option<String>| name.clone().filter(|_| !acted.name_collision);
        let (update, current) = (named(&outlook.update_revision), named(&outlook.current_revision));
        let collisions = outlook
            .collision_count
            .saturating_add(i32::from(acted.name_collision));
        let held = plan
            .waits
            .iter()
            .any(|wait| matches!(wait, Wait::Stalled | Wait::Deleting(_)));
        let backing_off = plan.waits.contains(&Wait::BackingOff);
        let scaling = match &acted.refused {
            Some(message) => ConditionUpdate::Set(format!("cannot create a pod: {message}")),
            // What an earlier attempt found still holds.
            None if held || backing_off => ConditionUpdate::Keep,
            None => ConditionUpdate::Clear,
        };
        let updating = match plan.impossible_update() {
            _ if held => ConditionUpdate::Keep,
            Some(message) => ConditionUpdate::Set(message),
            None => ConditionUpdate::Clear,
        };
        let observed = Observed {
            update_revision: update.as_deref(),
            current_revision: current.as_deref(),
            collision_count: (collisions > 0).then_some(collisions),
            scaling,
            updating,
            ..plan.observed(&self.store.cloneset, desired)
        };
        compute(stored, observed, self.controllers_now())
    }
}
