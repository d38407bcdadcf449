//! Images of bytes to float inputs. Numerics: `reference::image::gather`. Shader:
//! `shaders/image_gather.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::image::{Gather, PixelScale, View, gather};

use crate::pictures::{self, Held, gathered, whole_images};
use crate::{Case, Entry, Mutation, Random, WORKGROUP, groups_for};

/// Fills `dst[samples][out_height][out_width][channels]` with scaled values of `source`, images of bytes
/// (NHWC, four a word, no padding between rows). Row `s` of `table[samples][4]` says how: source index, flip
/// (0 or 1), and the signed offset `dy`, `dx` of the crop in the resized and mirrored image; what lies
/// outside is the byte 0. Source indices count from `first_image`; samples whose image is not among the `images` of
/// `source` are left as they are, so that several gathers fill a batch from several parts of a data set.
#[derive(Clone, Copy, Debug)]
pub struct ImageGather {
    /// Images of the result.
    pub samples: u32,
    /// Rows of a source image.
    pub source_height: u32,
    /// Columns of a source image.
    pub source_width: u32,
    /// Channels.
    pub channels: u32,
    /// Rows after the bilinear resize.
    pub resize_height: u32,
    /// Columns after the bilinear resize.
    pub resize_width: u32,
    /// Rows of the crop.
    pub out_height: u32,
    /// Columns of the crop.
    pub out_width: u32,
    /// Source index of the first image of `source`.
    pub first_image: u32,
    /// Images of `source`.
    pub images: u32,
    /// What becomes of the values.
    pub scale: PixelScale,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "image_gather",
        source: Cow::Borrowed(include_str!("../../../shaders/image_gather.wgsl")),
        bindings: &[read("source"), read("table"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation {
            rule: "flip",
            from: "params.resize_width - 1u - shifted, mirrored",
            to: "params.resize_width - 1u - shifted, false",
        },
        Mutation { rule: "last channel", from: "channel < CHANNELS", to: "channel + 1u < CHANNELS" },
        Mutation { rule: "flip reversed", from: "sample + 1u] != 0u", to: "sample + 1u] == 0u" },
        Mutation { rule: "crop row", from: "+ table[4u * sample + 2u]", to: "" },
        Mutation { rule: "crop column", from: "+ table[4u * sample + 3u]", to: "" },
        Mutation { rule: "subtracted", from: "(value - subtract[at])", to: "value" },
        Mutation { rule: "subtracted of the channel", from: "subtract[at]", to: "subtract[0]" },
        Mutation { rule: "divided by", from: "/ divide_by[at]", to: "/ 256.0" },
        Mutation { rule: "divided by of the channel", from: "divide_by[at]", to: "divide_by[0]" },
        Mutation { rule: "pixel centers", from: "* size + resized", to: "* size" },
        Mutation { rule: "edge repeated", from: "min(above, size - 1u)", to: "above" },
        Mutation { rule: "nearest instead of bilinear", from: "down_share)", to: "0.0)" },
        Mutation { rule: "byte of a word", from: ">> (8u * (at % 4u))", to: ">> (8u * (3u - at % 4u))" },
        Mutation { rule: "source image", from: "stored * params", to: "0u * params" },
        Mutation { rule: "first image", from: " - params.first_image", to: "" },
        Mutation { rule: "images of another part", from: "stored >= params.images", to: "false" },
        Mutation { rule: "outside is zero", from: "row < params.resize_height && ", to: "" },
        Mutation {
            rule: "tail sample",
            from: "sample >= params.samples",
            to: "sample + 1u >= params.samples",
        },
        Mutation {
            rule: "write past the end",
            from: "line / params.out_height;",
            to: "min(line / params.out_height, params.samples - 1u);",
        },
    ],
};

impl ImageGather {
    /// The sizes as the reference has them.
    pub(crate) fn to_reference(self) -> Gather {
        Gather {
            height: self.source_height as usize,
            width: self.source_width as usize,
            channels: self.channels as usize,
            resize_height: self.resize_height as usize,
            resize_width: self.resize_width as usize,
            out_height: self.out_height as usize,
            out_width: self.out_width as usize,
            scale: self.scale,
        }
    }

    /// The part of the pictures that is there.
    pub(crate) fn held(&self) -> Held {
        Held { first_image: self.first_image, images: self.images }
    }
    /// Values of a sample.
    pub(crate) fn sample_len(&self) -> usize {
        self.out_height as usize * self.out_width as usize * self.channels as usize
    }
    pub(crate) fn image_len(&self) -> usize {
        self.source_height as usize * self.source_width as usize * self.channels as usize
    }
    fn image_bytes(&self) -> u64 {
        u64::from(self.source_height) * u64::from(self.source_width) * u64::from(self.channels)
    }
    fn outputs(&self) -> u64 {
        let pixels = u64::from(self.samples) * u64::from(self.out_height) * u64::from(self.out_width);
        pixels * u64::from(self.channels)
    }
}

impl Kernel for ImageGather {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        let sizes = [
            Param::u32("samples", self.samples),
            Param::u32("source_height", self.source_height),
            Param::u32("source_width", self.source_width),
            Param::u32("resize_height", self.resize_height),
            Param::u32("resize_width", self.resize_width),
            Param::u32("out_height", self.out_height),
            Param::u32("out_width", self.out_width),
        ];
        sizes.into_iter().chain(pictures::params(self.held(), &self.scale)).collect()
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("CHANNELS", self.channels)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.outputs() / u64::from(self.channels))
    }
    fn lens(&self) -> Vec<u64> {
        let source = u64::from(self.images) * self.image_bytes();
        vec![source.div_ceil(4), 4 * u64::from(self.samples), self.outputs()]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.channels)
    }
    fn work(&self) -> Work {
        // The source may be a whole data set, of which each sample reads one image.
        let samples = u64::from(self.samples) * (self.image_bytes() + 16);
        Work { operations: 12 * self.outputs(), bytes: samples + 4 * self.outputs() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let shape = self.to_reference();
        let bytes = whole_images(buffers[0], self.image_len());
        let show = |sample: usize| {
            let [picture, flip, dy, dx] =
                *buffers[1][4 * sample..].first_chunk().expect("four words a sample");
            let image = self.held().place_of(picture)?;
            let view = View { image, flip: flip != 0, dy: dy.cast_signed(), dx: dx.cast_signed() };
            Some(gather(&shape, &bytes, &[view]))
        };
        let sizes = (self.samples as usize, self.sample_len(), self.channels as usize);
        // Two blends of three operations and a quotient for the share each.
        vec![gathered(buffers[2], sizes, (&self.scale, 11.0), show)]
    }
}

/// A scale of which every number is another, for cases.
pub(crate) const SCALE: PixelScale =
    PixelScale { subtract: [123.75, 116.25, -9.5], divide_by: [58.5, 57.0, 256.0] };

fn cases() -> Vec<Case> {
    let mut random = Random::new(40);
    let mut part =
        |samples: u32, source: [u32; 3], resize: [u32; 2], out: [u32; 2], [first_image, stored]: [u32; 2]| {
            let [source_height, source_width, channels] = source;
            let [resize_height, resize_width] = resize;
            let [out_height, out_width] = out;
            let images = stored;
            let bytes = images * source_height * source_width * channels;
            let mut words = random.words(bytes.div_ceil(4) as usize);
            words[0] |= 0xff00;
            let mut table = vec![];
            for sample in 0..samples {
                let offset = |word: u32, slack: u32| (word % (2 * slack + 3)).wrapping_sub(slack + 1);
                // Where the source is a part, some samples are of the parts before and behind.
                let image = if first_image == 0 {
                    random.word() % images
                } else {
                    first_image - 1 + sample % (images + 2)
                };
                table.extend([image, sample % 2]);
                table.push(offset(random.word(), resize_height.abs_diff(out_height)));
                table.push(offset(random.word(), resize_width.abs_diff(out_width)));
            }
            let kernel = ImageGather {
                samples,
                source_height,
                source_width,
                channels,
                resize_height,
                resize_width,
                out_height,
                out_width,
                first_image,
                images,
                scale: if samples.is_multiple_of(2) { SCALE } else { PixelScale::UNIT },
            };
            let values = samples * out_height * out_width * channels;
            let before = if first_image == 0 { vec![] } else { random.floats(values as usize, 2.0, 3.0) };
            Case::new(
                format!("{samples} of {source:?} to {resize:?} crop {out:?} from {first_image}+{images}"),
                kernel,
                vec![words, table, before],
            )
        };
    let parts = [
        part(7, [5, 7, 3], [5, 7], [4, 6], [3, 4]),
        part(6, [8, 8, 1], [8, 8], [8, 8], [4, 2]),
        part(9, [9, 8, 2], [6, 11], [6, 11], [50_000, 3]),
    ];
    let mut case = |samples, source, resize, out| part(samples, source, resize, out, [0, 3]);
    [
        case(1, [1, 1, 1], [1, 1], [1, 1]),
        case(5, [5, 7, 3], [5, 7], [5, 7]),
        case(4, [8, 8, 1], [8, 8], [5, 6]),
        case(4, [8, 8, 3], [8, 8], [11, 10]),
        case(6, [8, 8, 3], [10, 10], [10, 10]),
        case(6, [7, 9, 2], [13, 5], [11, 4]),
        case(6, [16, 16, 1], [5, 3], [5, 3]),
        case(7, [32, 32, 3], [40, 40], [32, 32]),
    ]
    .into_iter()
    .chain(parts)
    .collect()
}
