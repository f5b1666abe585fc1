//! The page in Prometheus' older text format, for scrapers that do not ask for OpenMetrics.
//!
//! The two differ in a few lines only: there the type is said of the name with its suffix, info is unknown, and
//! nothing marks the end.

use std::fmt::Write as _;

/// Rewrites a page that is in the OpenMetrics text format.
pub(super) fn rewrite(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            let help = help.take().unwrap_or_default();
            // Writing into a String cannot fail.
            let _ = writeln!(text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_said_of_the_names_that_samples_have() {
        let page = "# HELP a Some help.\n# TYPE a counter\na_total{b=\"c\"} 1\n\
                    # HELP d Build.\n# TYPE d info\nd_info{e=\"f\"} 1\n\
                    # HELP g Odd.\n# TYPE g unknown\ng 2\n\
                    # HELP h_seconds Time.\n# TYPE h_seconds histogram\n# UNIT h_seconds seconds\nh_seconds_sum 0.5\n\
                    # EOF\n";
        assert_eq!(
            rewrite(page),
            "# HELP a_total Some help.\n# TYPE a_total counter\na_total{b=\"c\"} 1\n\
             # HELP d_info Build.\n# TYPE d_info gauge\nd_info{e=\"f\"} 1\n\
             # HELP g Odd.\n# TYPE g untyped\ng 2\n\
             # HELP h_seconds Time.\n# TYPE h_seconds histogram\nh_seconds_sum 0.5\n"
        );
    }
}
