//! The picture: requests and throttling over the number of nodes.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

use crate::simulation::{Outcome, Sharing};

type Point = (f64, f64);

/// Draws requests per second, and below them the share that is throttled.
pub(crate) fn draw(path: &Path, drawn: &[(usize, Sharing, Outcome)], limit: u32) -> anyhow::Result<()> {
    let failed = |error: &dyn std::fmt::Display| anyhow!("cannot draw {}: {error}", path.display());
    let root = SVGBackend::new(path, (900, 640)).into_drawing_area();
    root.fill(&WHITE).map_err(|error| failed(&error))?;
    let (above, below) = root.split_vertically(400);
    let requests = |outcome: &Outcome| outcome.requests_per_second;
    let throttled = |outcome: &Outcome| 100.0 * outcome.throttled;
    let nodes = drawn.iter().map(|(nodes, ..)| number(*nodes));
    let (least, most) = nodes.fold((f64::MAX, 1.0_f64), |(least, most), n| (least.min(n), most.max(n)));
    let peak = drawn.iter().map(|(.., outcome)| requests(outcome)).fold(f64::from(limit) / 10.0, f64::max);

    let mut chart = ChartBuilder::on(&above)
        .caption("Requests per second to one vault", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d((least..most).log_scale(), (1.0..peak * 1.5).log_scale())
        .map_err(|error| failed(&error))?;
    chart.configure_mesh().x_desc("nodes").y_desc("requests/s").draw().map_err(|error| failed(&error))?;
    let line = [(least, f64::from(limit) / 10.0), (most, f64::from(limit) / 10.0)];
    chart
        .draw_series(DashedLineSeries::new(line, 6, 4, BLACK.stroke_width(1)))
        .map_err(|error| failed(&error))?
        .label("the vault's limit")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK));
    for (sharing, color) in [(Sharing::Without, RED), (Sharing::With, BLUE)] {
        let points = points(drawn, sharing, requests);
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(3))
            .map_err(|error| failed(&error))?
            .label(format!("{} sharing", sharing.name()))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    let mut labels = chart.configure_series_labels();
    let labels = labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE).border_style(BLACK);
    labels.draw().map_err(|error| failed(&error))?;

    let mut chart = ChartBuilder::on(&below)
        .caption("Throttled, percent", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d((least..most).log_scale(), 0.0..100.0)
        .map_err(|error| failed(&error))?;
    chart.configure_mesh().x_desc("nodes").y_desc("%").draw().map_err(|error| failed(&error))?;
    for (sharing, color) in [(Sharing::Without, RED), (Sharing::With, BLUE)] {
        let points = points(drawn, sharing, throttled);
        let series = LineSeries::new(points, color.stroke_width(2)).point_size(3);
        chart.draw_series(series).map_err(|error| failed(&error))?;
    }
    root.present().map_err(|error| failed(&error))
}

fn points(
    drawn: &[(usize, Sharing, Outcome)],
    wanted: Sharing,
    figure: impl Fn(&Outcome) -> f64,
) -> Vec<Point> {
    let of = drawn.iter().filter(|(_, sharing, _)| *sharing == wanted);
    of.map(|(nodes, _, outcome)| (number(*nodes), figure(outcome))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a picture needs none")]
fn number(nodes: usize) -> f64 {
    nodes as f64
}
