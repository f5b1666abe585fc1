//! Scaling as people and autoscalers do it: `kubectl scale` and the scale subresource.

use anyhow::Result;
use e2e::fixtures::cloneset;
use e2e::{Counters, in_namespace};
use kube::api::{Patch, PatchParams};
use serde_json::json;

#[tokio::test]
async fn kubectl_scales_up_and_down_by_short_name_and_full_name() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&cloneset("web", 1, &json!({}))).await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        let printed = ns.kubectl(&["scale", "clone", "web", "--replicas=3"]).await?;
        assert_eq!(printed.trim(), "cloneset.apps.kruise.io/web scaled");
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        ns.kubectl(&[
            "scale",
            "clonesets.apps.kruise.io/web",
            "--current-replicas=3",
            "--replicas=0",
        ])
        .await?;
        ns.reaches("web", Counters::at_rest(0, 0)).await?;
        ns.until_pods("web", "all pods to go", <[_]>::is_empty).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_scale_subresource_tells_an_autoscaler_replicas_and_selector_and_takes_its_answer() -> Result<()>
{
    in_namespace(async |ns| {
        let selector = json!({"selector": {
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["b", "a"]}]
        }});
        ns.create_cloneset(&cloneset("web", 2, &selector)).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let scale = ns.clonesets().get_scale("web").await?;
        assert_eq!(scale.spec.and_then(|spec| spec.replicas), Some(2));
        let status = scale.status.unwrap_or_default();
        assert_eq!(status.replicas, 2);
        assert_eq!(status.selector.as_deref(), Some("app=web,tier notin (a,b)"));

        let answer = Patch::Merge(json!({"spec": {"replicas": 3}}));
        let scaled = ns
            .clonesets()
            .patch_scale("web", &PatchParams::default(), &answer)
            .await?;
        assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(3));
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        let scale = ns.clonesets().get_scale("web").await?;
        assert_eq!(scale.status.unwrap_or_default().replicas, 3);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_set_that_starts_empty_already_has_the_selector_an_autoscaler_needs() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&cloneset("web", 0, &json!({}))).await?;
        ns.reaches("web", Counters::at_rest(0, 0)).await?;
        let scale = ns.clonesets().get_scale("web").await?;
        assert_eq!(
            scale.status.unwrap_or_default().selector.as_deref(),
            Some("app=web")
        );
        Ok(())
    })
    .await
}
