//! What is done to pictures before a network reads them.

use graph::{GraphError, InputSpec, PixelScale};
use serde::{Deserialize, Serialize};

use crate::models::{Model, ModelError};

/// Rows or columns of a resized picture at most.
const LONGEST_SIDE: u64 = 16_384;
/// Means and deviations of ImageNet's red, green and blue, for values 0 to 1.
const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_DEVIATION: [f64; 3] = [0.229, 0.224, 0.225];

/// How pictures become a network's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Preprocess {
    /// Resized to the network's size, values 0 to 1
    #[default]
    Plain,
    /// The same, values divided by 256, as the authors' SVHN networks have them
    #[serde(rename = "over-256")]
    #[value(name = "over-256")]
    Over256,
    /// The shorter side resized to 256/224 of the network's, the middle of that, less ImageNet's means, over its deviations
    Imagenet,
}

impl Preprocess {
    /// The scale of values.
    pub fn scale(self) -> PixelScale {
        match self {
            Self::Plain => PixelScale::UNIT,
            Self::Over256 => PixelScale { divide_by: [256.0; 3], ..PixelScale::UNIT },
            Self::Imagenet => PixelScale {
                subtract: IMAGENET_MEAN.map(|mean| (255.0 * mean) as f32),
                divide_by: IMAGENET_DEVIATION.map(|deviation| (255.0 * deviation) as f32),
            },
        }
    }

    /// The model behind it.
    ///
    /// # Errors
    /// Pictures without three channels for [`Preprocess::Imagenet`], or so narrow that a side becomes too long.
    pub fn of(self, model: Model) -> Result<Model, ModelError> {
        let Model { mut network, mut input } = model;
        network.pixel_scale = self.scale();
        if self == Self::Imagenet {
            input = with_border(input)?;
        }
        Ok(Model { network, input })
    }
}

/// The same input out of the middle of a picture whose shorter side is 256/224 as long.
fn with_border(input: InputSpec) -> Result<InputSpec, GraphError> {
    let refused = |message: String| {
        let message = format!("{message}; use --preprocess plain");
        Err(GraphError::Layer { layer: "image".to_owned(), message })
    };
    let InputSpec { source_height, source_width, channels, out_height, out_width, .. } = input;
    if channels != 3 {
        return refused(format!("preprocess imagenet is for pictures of 3 channels, these have {channels}"));
    }
    let side = (u64::from(out_height.max(out_width)) * 256 + 112) / 224;
    let shorter = u64::from(source_height.min(source_width));
    let resized =
        [source_height, source_width].map(|length| (u64::from(length) * side + shorter / 2) / shorter);
    if let Some(long) = resized.iter().find(|length| **length > LONGEST_SIDE) {
        let message = format!(
            "pictures of {source_height}x{source_width} would have a side of {long} for a shorter one of {side}"
        );
        return refused(message);
    }
    let [resize_height, resize_width] = resized.map(|length| u32::try_from(length).expect("checked"));
    Ok(InputSpec { resize_height, resize_width, ..input })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{self, ModelInput};

    fn alexnet(image: [u32; 3], preprocess: Preprocess) -> Result<Model, ModelError> {
        let input = ModelInput::usual("alexnet", Some(image), None);
        let bits = graph::Bits::new(1, 2, 6).expect("valid");
        preprocess.of(models::build("alexnet", &input, bits).expect("builds"))
    }

    #[test]
    fn the_middle_is_cut_from_a_shorter_side_of_256() {
        for (image, resized) in [
            ([256, 256, 3], [256, 256]),
            ([375, 500, 3], [256, 341]),
            ([500, 333, 3], [384, 256]),
            ([32, 32, 3], [256, 256]),
        ] {
            let model = alexnet(image, Preprocess::Imagenet).expect("fits");
            let input = model.input;
            assert_eq!([input.resize_height, input.resize_width], resized, "{image:?}");
            assert_eq!([input.out_height, input.out_width], [224, 224]);
            let shown = crate::batches::centered(&input);
            assert_eq!([shown.dy, shown.dx], resized.map(|side: u32| (side as i32 - 224) / 2));
        }
        let plain = alexnet([375, 500, 3], Preprocess::Over256).expect("fits").input;
        assert_eq!([plain.resize_height, plain.resize_width], [224, 224]);
    }

    #[test]
    fn values_are_scaled_as_published() {
        let scale = alexnet([256, 256, 3], Preprocess::Imagenet).expect("fits").network.pixel_scale;
        let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        near(scale.apply(255.0 * 0.485, 0), 0.0);
        near(scale.apply(255.0 * (0.456 + 0.224), 1), 1.0);
        near(scale.apply(255.0 * (0.406 - 2.0 * 0.225), 2), -2.0);
        assert!((0..3).all(|channel| Preprocess::Over256.scale().apply(64.0, channel) == 0.25));
        assert!((0..3).all(|channel| Preprocess::Plain.scale().apply(51.0, channel) == 0.2));
    }

    #[test]
    fn pictures_that_do_not_fit_are_refused() {
        let text = |image| alexnet(image, Preprocess::Imagenet).expect_err("refused").to_string();
        assert!(text([28, 28, 1]).contains("3 channels, these have 1; use --preprocess plain"));
        assert!(text([10, 2000, 3]).contains("10x2000 would have a side of 51200"));
    }
}
