//! The costs of each log beside those of the smallest one, as an SVG.

use std::{error::Error, path::Path};

use plotters::prelude::*;

use crate::costs::{Costs, short};

/// The most that a cost may grow by from the first log to the last.
const BAR: f64 = 1.25;

/// Draws a line for each cost: how it grows with the log.
pub(crate) fn draw(file: &Path, measured: &[(u64, Costs)]) -> Result<(), Box<dyn Error>> {
    let (Some((first, base)), Some((last, _))) = (measured.first(), measured.last()) else {
        return Ok(());
    };
    let ratio = |name: &str, costs: &Costs| Some(costs.of(name)? / base.of(name)?);
    let lines: Vec<(&str, Vec<(f64, f64)>)> = base
        .0
        .iter()
        .map(|(name, _)| {
            let points = measured.iter();
            let points =
                points.filter_map(|(size, costs)| Some((log2(*size), ratio(name, costs)?)));
            (name.as_str(), points.filter(|(_, y)| y.is_finite()).collect())
        })
        .collect();
    let greatest = lines.iter().flat_map(|(_, points)| points).map(|(_, y)| *y);
    let top = greatest.fold(2.0 * BAR, f64::max) * 1.05;

    let area = SVGBackend::new(file, (960, 640)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("cost beside that in the smallest log", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(log2(*first)..log2(*last).max(log2(*first) + 1.0), 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("events")
        .x_labels(measured.len().max(2))
        .x_label_formatter(&|x| short(x.exp2()))
        .draw()?;
    let bar = [(log2(*first), BAR), (log2(*last), BAR)];
    chart.draw_series(LineSeries::new(bar, BLACK.stroke_width(2)))?.label("1.25");
    for (place, (name, points)) in lines.into_iter().enumerate() {
        let color = Palette99::pick(place).to_rgba();
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(area.present()?)
}

fn log2(size: u64) -> f64 {
    (size as f64).log2()
}
