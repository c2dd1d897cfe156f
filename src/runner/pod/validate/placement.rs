//! PURE: what a pod asks of its node's labels and system.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, PodSpec};

use super::Found;
use crate::runner::pod::placement::Operator;

/// The only field of a node that a term can name.
const NAME_FIELD: &str = "metadata.name";

impl Found {
    pub(super) fn placement(&mut self, spec: &PodSpec) {
        let os = spec.os.as_ref().map(|os| os.name.clone());
        self.one_of(&os, "spec.os.name", &["linux", "windows"]);
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let Some(required) =
            affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref())
        else {
            return;
        };
        let path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
        self.unless(!required.node_selector_terms.is_empty(), path, || {
            "Required value: must have at least one node selector term".to_owned()
        });
        for (index, term) in required.node_selector_terms.iter().enumerate() {
            for (list, requirements) in
                [("matchExpressions", &term.match_expressions), ("matchFields", &term.match_fields)]
            {
                for (place, requirement) in requirements.iter().flatten().enumerate() {
                    self.requirement(requirement, &format!("{path}[{index}].{list}[{place}]"));
                }
            }
            for (place, requirement) in term.match_fields.iter().flatten().enumerate() {
                self.unless(
                    requirement.key == NAME_FIELD,
                    &format!("{path}[{index}].matchFields[{place}].key"),
                    || format!("Invalid value: `{}`: not a valid field selector key", requirement.key),
                );
            }
        }
    }

    fn requirement(&mut self, requirement: &NodeSelectorRequirement, path: &str) {
        let NodeSelectorRequirement { key: _, operator, values } = requirement;
        self.one_of(&Some(operator.clone()), &format!("{path}.operator"), &Operator::NAMES);
        let count = values.as_ref().map_or(0, Vec::len);
        let (holds, problem) = match operator.as_str() {
            "In" | "NotIn" => (count > 0, "Required value: must be specified when `operator` is 'In' or 'NotIn'"),
            "Exists" | "DoesNotExist" => {
                (count == 0, "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
            }
            _ => (count == 1, "Required value: must be a single value when `operator` is 'Lt' or 'Gt'"),
        };
        self.unless(holds, &format!("{path}.values"), || problem.to_owned());
    }
}
