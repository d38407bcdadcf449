use crate::data::assert_close;
use reference::color::ColorStep::{Brightness, Contrast, Saturation, Shift};
use reference::color::{ColorGather, ColorSteps, ColorView, gather_colored};
use reference::image::PixelScale;

const SOURCE: [u8; 24] =
    [10, 20, 30, 40, 50, 60, 70, 80, 90, 11, 0, 7, 100, 90, 80, 70, 60, 50, 40, 30, 20, 99, 98, 97];

/// Bytes of `source`, an image of `height` rows, brought to `out` and changed.
fn shown(source: &[u8], height: usize, out: [usize; 2], steps: ColorSteps) -> Vec<u8> {
    let width = source.len() / 3 / height;
    let scale = PixelScale { divide_by: [1.0; 3], ..PixelScale::UNIT };
    let shape = ColorGather { height, width, out_height: out[0], out_width: out[1], scale };
    let view = ColorView { image: 0, flip: false, top: 0, left: 0, height, width, steps };
    gather_colored(&shape, source, &view).into_iter().map(|value| value as u8).collect()
}

#[test]
fn steps_clip_and_truncate_one_after_the_other() {
    // By hand, of the pixels (200, 100, 50) and (10, 20, 30).
    let source = [200, 100, 50, 10, 20, 30];
    let changed = |order, [brightness, contrast, saturation]: [f64; 3], shift| {
        let [brightness, contrast, saturation] =
            [brightness, contrast, saturation].map(|factor| (factor * 4096.0) as u32);
        shown(&source, 1, [1, 2], ColorSteps { order, brightness, contrast, saturation, shift })
    };
    let order = [Brightness, Contrast, Saturation, Shift];
    assert_eq!(changed(order, [1.0; 3], [0; 3]), source);
    assert_eq!(changed(order, [1.5, 1.0, 1.0], [0; 3]), [255, 150, 75, 15, 30, 45]);
    assert_eq!(changed(order, [0.75, 1.0, 1.0], [0; 3]), [150, 75, 37, 7, 15, 22]);
    assert_eq!(changed(order, [1.0; 3], [60, -30, 0]), [255, 70, 50, 70, 0, 30]);
    // Clipped between: 255 + 0 and 150 - 60, not 300 - 60.
    assert_eq!(
        changed([Brightness, Shift, Contrast, Saturation], [1.5, 1.0, 1.0], [-60; 3]),
        [195, 90, 15, 0, 0, 0]
    );
    // Grays 124.2 and 18.15, their mean 71.18: (p - mean) / 2 + mean.
    assert_eq!(changed(order, [1.0, 0.5, 1.0], [0; 3]), [135, 85, 60, 40, 45, 50]);
    // Grays 124 and 18: the mean of the pixel and its gray.
    assert_eq!(changed(order, [1.0, 1.0, 0.5], [0; 3]), [162, 112, 87, 14, 19, 24]);
    // The mean is that of the picture as it is then.
    let late = changed([Shift, Contrast, Brightness, Saturation], [1.0, 0.5, 1.0], [100; 3]);
    let shifted = [255, 200, 150, 110, 120, 130];
    let plain = ColorSteps { contrast: 2048, ..ColorSteps::PLAIN };
    assert_eq!(late, shown(&shifted, 1, [1, 2], plain));
}

#[test]
fn the_resize_is_keys_cubic() {
    let red = |width: usize, row: &[u8]| -> Vec<u8> {
        let source: Vec<u8> = row.iter().flat_map(|&value| [value, 7, 0]).collect();
        shown(&source, 1, [1, width], ColorSteps::PLAIN).into_iter().step_by(3).collect()
    };
    assert_eq!(red(5, &[3, 200, 7, 90, 255]), [3, 200, 7, 90, 255], "the same size copies");
    // At 1/4 and 3/4 between pixels the weights are -27, 225, 67, -9 over 256 and their mirror image.
    let weighed = |a: [i32; 4], w: [i32; 4]| -> u8 {
        let sum: i32 = a.iter().zip(w).map(|(a, w)| a * w).sum();
        ((f64::from(sum) / 256.0).round() as i32).clamp(0, 255) as u8
    };
    let row = [20, 200, 90, 240, 10, 0];
    let doubled = red(12, &row);
    let at = |index: i32| i32::from(row[index.clamp(0, 5) as usize]);
    for (position, &found) in doubled.iter().enumerate() {
        let right = position as i32 / 2 + position as i32 % 2;
        let around = [at(right - 2), at(right - 1), at(right), at(right + 1)];
        let weights = if position % 2 == 1 { [-27, 225, 67, -9] } else { [-9, 67, 225, -27] };
        assert!(found.abs_diff(weighed(around, weights)) <= 1, "{position}: {found} of {around:?}");
    }
    assert!(doubled.contains(&255) || doubled.contains(&0), "it overshoots and is clipped");
}

#[test]
fn parts_are_cut_mirrored_and_scaled() {
    let scale = PixelScale { subtract: [1.0, 2.0, 3.0], divide_by: [2.0, 4.0, 8.0] };
    let shape = ColorGather { height: 2, width: 4, out_height: 1, out_width: 2, scale };
    let steps = ColorSteps { shift: [0, -55, 200], ..ColorSteps::PLAIN };
    let part = ColorView { image: 0, flip: false, top: 1, left: 1, height: 1, width: 2, steps };
    let wanted = [[34.5, 0.75, 30.875], [19.5, -0.5, 27.125]];
    assert_close(&gather_colored(&shape, &SOURCE, &part), &wanted.concat(), 1e-10);
    let mirrored = gather_colored(&shape, &SOURCE, &ColorView { flip: true, ..part });
    assert_close(&mirrored, &[wanted[1], wanted[0]].concat(), 1e-10);
}
