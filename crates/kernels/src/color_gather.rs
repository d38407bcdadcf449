//! Parts of images of bytes to float inputs, in other colors. Numerics: `reference::color::gather_colored`. Shader:
//! `shaders/color_gather.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::color::{ColorGather as Sizes, ColorStep, ColorSteps, ColorView, gather_colored};
use reference::image::PixelScale;

use crate::image_gather::SCALE;
use crate::pictures::{self, Held, gathered, whole_images};
use crate::{Case, Entry, Mutation, Random, WORKGROUP};

/// Fills `dst[samples][out_height][out_width][3]` with scaled values of `source`, images of bytes (NHWC, three channels, four a
/// word). Row `s` of `views[samples][13]` says of which part: source index, flip (0 or 1), top, left, height, width; and how
/// its colors change, see [`ColorGather::steps_words`]. Source indices count from `first_image`; samples whose image is not
/// among the `images` of `source` are left as they are.
///
/// The result has at most 65,536 pixels ([`ColorGather::MOST_PIXELS`]), so that sums fit in 32 bits.
#[derive(Clone, Copy, Debug)]
pub struct ColorGather {
    /// Images of the result.
    pub samples: u32,
    /// Rows of a source image.
    pub source_height: u32,
    /// Columns of a source image.
    pub source_width: u32,
    /// Rows of the result.
    pub out_height: u32,
    /// Columns of the result.
    pub out_width: u32,
    /// Source index of the first image of `source`.
    pub first_image: u32,
    /// Images of `source`.
    pub images: u32,
    /// What becomes of the values.
    pub scale: PixelScale,
}

impl ColorGather {
    /// Words of a view.
    pub const VIEW: u32 = 13;
    /// Pixels of the result at most.
    pub const MOST_PIXELS: u64 = 1 << 16;

    /// The words with which a view ends: the order of the steps, two bits each, three factors, what is added to three channels.
    pub fn steps_words(steps: &ColorSteps) -> [u32; 7] {
        let order = steps.order.iter().rev().fold(0, |order, &step| order << 2 | number(step));
        let [red, green, blue] = steps.shift.map(i32::cast_unsigned);
        [order, steps.brightness, steps.contrast, steps.saturation, red, green, blue]
    }

    fn held(&self) -> Held {
        Held { first_image: self.first_image, images: self.images }
    }
    fn out_pixels(&self) -> u64 {
        u64::from(self.out_height) * u64::from(self.out_width)
    }
    fn image_bytes(&self) -> u64 {
        3 * u64::from(self.source_height) * u64::from(self.source_width)
    }
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "color_gather",
        source: Cow::Borrowed(include_str!("../../../shaders/color_gather.wgsl")),
        bindings: &[read("source"), read("views"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "flip", from: "- shifted, mirrored", to: "- shifted, false" },
        Mutation { rule: "top of the part", from: "first + views[VIEW * row + 2u]", to: "first" },
        Mutation { rule: "left of the part", from: "views[VIEW * row + 3u]", to: "0u" },
        Mutation { rule: "height of the part", from: "views[VIEW * row + 4u]", to: "params.source_height" },
        Mutation { rule: "width of the part", from: "views[VIEW * row + 5u]", to: "params.source_width" },
        Mutation { rule: "brightness", from: "(color * factor)", to: "(color * 4096)" },
        Mutation { rule: "contrast", from: "mean) * factor", to: "mean) * 4096" },
        Mutation { rule: "mean where the step comes", from: "row, before, 0)", to: "row, 0u, 0)" },
        Mutation { rule: "mean of all", from: "sum += sums[other];", to: "sum += 0u;" },
        Mutation { rule: "mean rounded", from: " + count / 2u", to: "" },
        Mutation { rule: "gray of the mean rounded", from: "+ 32)", to: ")" },
        Mutation { rule: "saturation", from: "gray * (4096 - factor)", to: "0" },
        Mutation { rule: "gray rounded", from: "+ 8192)", to: ")" },
        Mutation { rule: "weights of gray", from: "9617 * color.y", to: "9617 * color.x" },
        Mutation { rule: "shift of the channel", from: "views[at + 5u]", to: "views[at + 4u]" },
        Mutation { rule: "order", from: "(2u * number)", to: "(6u - 2u * number)" },
        Mutation { rule: "last step", from: "row, 4u, mean)", to: "row, 3u, mean)" },
        Mutation { rule: "clipped below", from: "clamp(color, vec3(0)", to: "clamp(color, vec3(-999)" },
        Mutation {
            rule: "clipped above",
            from: "vec3(0), vec3(255));\n    }",
            to: "vec3(0), vec3(999));\n    }",
        },
        Mutation { rule: "resize clipped", from: "vec3(22u), vec3(0)", to: "vec3(22u), vec3(-99)" },
        Mutation { rule: "resize rounded", from: "sum + (1 << 21u)", to: "sum" },
        Mutation { rule: "four rows", from: "tap < 4u", to: "tap < 3u" },
        Mutation {
            rule: "outer columns",
            from: "+ across.weights.w * color",
            to: "+ across.weights.x * color",
        },
        Mutation { rule: "weights add up", from: "2048 - before", to: "2047 - before" },
        Mutation { rule: "edge before", from: "max(near.first, 1u) - 1u", to: "near.first" },
        Mutation { rule: "edge behind", from: "min(near.second + 1u, size - 1u)", to: "near.second" },
        Mutation { rule: "subtracted", from: "(value - subtract[at])", to: "value" },
        Mutation { rule: "divided by of the channel", from: "divide_by[at]", to: "divide_by[0]" },
        Mutation { rule: "pixel centers", from: "* size + resized", to: "* size" },
        Mutation { rule: "edge repeated", from: "min(above, size - 1u)", to: "above" },
        Mutation { rule: "byte of a word", from: ">> (8u * (at % 4u))", to: ">> (8u * (3u - at % 4u))" },
        Mutation { rule: "first image", from: " - params.first_image", to: "" },
        Mutation { rule: "images of another part", from: " && stored < params.images", to: "" },
        Mutation { rule: "colors of the sample", from: "let at = VIEW * row + 6u;", to: "let at = 6u;" },
        Mutation { rule: "tail sample", from: "sample < params.samples", to: "sample + 1u < params.samples" },
    ],
};

impl Kernel for ColorGather {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        let sizes = [
            Param::u32("samples", self.samples),
            Param::u32("source_height", self.source_height),
            Param::u32("source_width", self.source_width),
            Param::u32("out_height", self.out_height),
            Param::u32("out_width", self.out_width),
        ];
        sizes.into_iter().chain(pictures::params(self.held(), &self.scale)).collect()
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        u64::from(self.samples)
    }
    fn lens(&self) -> Vec<u64> {
        let samples = u64::from(self.samples);
        vec![
            (u64::from(self.images) * self.image_bytes()).div_ceil(4),
            samples * u64::from(Self::VIEW),
            samples * self.out_pixels() * 3,
        ]
    }
    fn loop_trips(&self) -> u64 {
        // Two passes of one trip a pixel, four rows and up to four steps.
        18 * self.out_pixels().div_ceil(u64::from(WORKGROUP)) + 3 + u64::from(WORKGROUP) + 4
    }
    fn work(&self) -> Work {
        let samples = u64::from(self.samples);
        let bytes = samples * (self.image_bytes() + 4 * u64::from(Self::VIEW));
        Work {
            operations: 400 * samples * self.out_pixels(),
            bytes: bytes + 12 * samples * self.out_pixels(),
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let shape = Sizes {
            height: self.source_height as usize,
            width: self.source_width as usize,
            out_height: self.out_height as usize,
            out_width: self.out_width as usize,
            scale: self.scale,
        };
        let bytes = whole_images(buffers[0], 3 * shape.height * shape.width);
        let show = |sample: usize| {
            let [picture, flip, top, left, height, width, words @ ..] =
                *buffers[1][13 * sample..].first_chunk::<13>().expect("13 words a sample");
            let view = ColorView {
                image: self.held().place_of(picture)?,
                flip: flip != 0,
                top: top as usize,
                left: left as usize,
                height: height as usize,
                width: width as usize,
                steps: steps(words),
            };
            Some(gather_colored(&shape, &bytes, &view))
        };
        let sizes = (self.samples as usize, 3 * shape.out_height * shape.out_width, 3);
        // The bytes are exact.
        vec![gathered(buffers[2], sizes, (&self.scale, 0.0), show)]
    }
}

/// The bits that stand for a step in a view.
fn number(step: ColorStep) -> u32 {
    match step {
        ColorStep::Brightness => 0,
        ColorStep::Contrast => 1,
        ColorStep::Saturation => 2,
        ColorStep::Shift => 3,
    }
}

/// The reverse of [`ColorGather::steps_words`].
fn steps([order, brightness, contrast, saturation, red, green, blue]: [u32; 7]) -> ColorSteps {
    const STEPS: [ColorStep; 4] =
        [ColorStep::Brightness, ColorStep::Contrast, ColorStep::Saturation, ColorStep::Shift];
    ColorSteps {
        order: [0, 2, 4, 6].map(|bit| STEPS[(order >> bit & 3) as usize]),
        brightness,
        contrast,
        saturation,
        shift: [red, green, blue].map(u32::cast_signed),
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(42);
    let mut case = |samples: u32,
                    [source_height, source_width]: [u32; 2],
                    out: [u32; 2],
                    first_image: u32| {
        let [out_height, out_width] = out;
        let images = 3;
        let words = random.words((images * source_height * source_width * 3).div_ceil(4) as usize);
        let mut views = vec![];
        for sample in 0..samples {
            // Where the source is a part, some samples are of the parts before and behind.
            let among = random.word() % images;
            let image = if first_image == 0 { among } else { first_image - 1 + sample % (images + 2) };
            let (height, width) = (1 + random.word() % source_height, 1 + random.word() % source_width);
            let (top, left) =
                (random.word() % (source_height - height + 1), random.word() % (source_width - width + 1));
            views.extend([image, sample % 2, top, left, height, width]);
            let mut order =
                [ColorStep::Brightness, ColorStep::Contrast, ColorStep::Saturation, ColorStep::Shift];
            order.rotate_left((sample % 4) as usize);
            order.swap(0, (random.word() % 4) as usize);
            let mut factor = || 2458 + random.word() % 3277;
            let (brightness, contrast, saturation) = (factor(), factor(), factor());
            let shift = [0, 1, 2].map(|_| (random.word() % 81).cast_signed() - 40);
            let steps = ColorSteps { order, brightness, contrast, saturation, shift };
            views.extend(ColorGather::steps_words(&steps));
        }
        let values = (samples * out_height * out_width * 3) as usize;
        let before = if first_image == 0 { vec![] } else { random.floats(values, 2.0, 3.0) };
        let scale = if samples.is_multiple_of(2) { SCALE } else { PixelScale::UNIT };
        let kernel = ColorGather {
            samples,
            source_height,
            source_width,
            out_height,
            out_width,
            first_image,
            images,
            scale,
        };
        let label = format!("{samples} of {source_height}x{source_width} to {out:?} from {first_image}");
        Case::new(label, kernel, vec![words, views, before])
    };
    vec![
        case(1, [1, 1], [1, 1], 0),
        case(5, [5, 7], [8, 9], 0),
        case(4, [16, 12], [5, 3], 0),
        case(6, [31, 29], [17, 23], 0),
        case(2, [64, 64], [56, 56], 0),
        // A mean that is off by its last bit shows in few of the values that a byte can have.
        case(96, [16, 16], [17, 16], 0),
        case(7, [9, 8], [10, 7], 50_000),
    ]
}
