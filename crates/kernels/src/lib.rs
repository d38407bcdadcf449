//! One host file per WGSL shader, and the registry that drives tests, validation, mutation checks and translation.
//!
//! Each module pairs with `shaders/<module>.wgsl` and holds a kernel (sizes, bindings, parameters), the reference result
//! that the shader must reproduce, a case table of odd sizes, and the mutations that the cases must notice. A shader is
//! reachable only through its [`Entry`] in [`REGISTRY`]. Kernels know neither layers nor the graphics API.

mod adam;
mod add;
mod add_bias;
mod and_product;
mod arithmetic_roof;
mod avg_pool_backward;
mod avg_pool_forward;
mod batch_norm_backward;
mod batch_norm_backward_sums;
mod batch_norm_coefficients;
mod batch_norm_forward;
mod batch_norm_stats;
mod bit_pack;
mod bit_slice;
mod bit_transpose;
mod bit_unfold;
mod bit_unfold_grad;
mod bit_unpack;
mod box_filter;
mod byte_expand;
mod byte_product;
mod case;
mod check;
mod check_finite;
mod check_finite_list;
mod check_finite_spans;
mod clamp;
mod clip_backward;
mod clip_forward;
mod color_gather;
mod column_sum;
mod conv2d;
mod conv2d_forward;
mod conv2d_forward_subgroup;
mod conv2d_forward_vec4;
mod conv2d_grad_input;
mod conv2d_grad_input_subgroup;
mod conv2d_grad_input_vec4;
mod conv2d_grad_weight;
mod conv2d_grad_weight_image;
mod conv2d_grad_weight_subgroup;
mod conv2d_grad_weight_vec4;
mod copy_channels;
mod decay_run;
mod dequantize;
mod dropout_backward;
mod dropout_forward;
mod floats;
mod global_avg_pool_backward;
mod global_avg_pool_forward;
mod gradient_scales;
mod image_gather;
mod length_penalty;
mod length_scales;
mod length_sums;
mod light_gather;
mod max_pool_backward;
mod max_pool_forward;
mod memory_roof;
mod metrics;
mod normalize_quantize;
mod normalize_quantize_backward;
mod normalize_quantize_backward_sums;
mod pad_image;
mod pictures;
mod pool;
mod product;
mod quads;
mod quantize_activation;
mod quantize_channels;
mod quantize_gradient;
mod quantize_groups;
mod quantize_weight;
mod reduce;
mod relu_backward;
mod relu_forward;
mod residual_codes;
mod residual_mean;
mod residual_sums;
mod rounding;
mod row_dots;
mod row_sums;
mod running_update;
mod scale_matrix;
mod sgd;
mod sign_backward;
mod soft_cross_entropy;
mod soft_gate;
mod soft_gate_backward;
mod softmax_cross_entropy;
mod squared_error;
mod step_token;
mod straight_through;
mod subgroup_byte_product;
mod subgroup_product;
mod tactic;
mod tanh_backward;
mod tanh_forward;
mod threshold_pack;
mod tile_byte_product;
mod tile_product;
mod tiling;
mod unfold;
mod unfold_lines;
mod weight_backward;
mod weight_max_backward;
mod weight_max_sums;
mod weighted_sum;
mod window;
mod xor_product;

pub use adam::Adam;
pub use add::Add;
pub use add_bias::AddBias;
pub use and_product::AndProduct;
pub use arithmetic_roof::{ArithmeticRoof, RoofOperation};
pub use avg_pool_backward::AvgPoolBackward;
pub use avg_pool_forward::AvgPoolForward;
pub use batch_norm_backward::BatchNormBackward;
pub use batch_norm_backward_sums::BatchNormBackwardSums;
pub use batch_norm_coefficients::BatchNormCoefficients;
pub use batch_norm_forward::BatchNormForward;
pub use batch_norm_stats::BatchNormStats;
pub use bit_pack::BitPack;
pub use bit_slice::BitSlice;
pub use bit_transpose::BitTranspose;
pub use bit_unfold::BitUnfold;
pub use bit_unfold_grad::BitUnfoldGrad;
pub use bit_unpack::BitUnpack;
pub use box_filter::BoxFilter;
pub use byte_expand::ByteExpand;
pub use case::{Case, Entry, Mutant, Mutation, Random};
pub use check::{Checker, POISON};
pub use check_finite::CheckFinite;
pub use check_finite_list::{CheckFiniteList, LISTS};
pub use check_finite_spans::{CheckFiniteSpans, Span};
pub use clamp::Clamp;
pub use clip_backward::ClipBackward;
pub use clip_forward::ClipForward;
pub use color_gather::ColorGather;
pub use column_sum::ColumnSum;
pub use conv2d::convolution_lanes;
pub use conv2d_forward::Conv2dForward;
pub use conv2d_forward_subgroup::Conv2dForwardSubgroup;
pub use conv2d_grad_input::Conv2dGradInput;
pub use conv2d_grad_input_subgroup::Conv2dGradInputSubgroup;
pub use conv2d_grad_weight::Conv2dGradWeight;
pub use conv2d_grad_weight_subgroup::Conv2dGradWeightSubgroup;
pub use copy_channels::CopyChannels;
pub use decay_run::DecayRun;
pub use dequantize::Dequantize;
pub use dropout_backward::DropoutBackward;
pub use dropout_forward::DropoutForward;
pub use global_avg_pool_backward::GlobalAvgPoolBackward;
pub use global_avg_pool_forward::GlobalAvgPoolForward;
pub use gradient_scales::GradientScales;
pub use image_gather::ImageGather;
pub use length_penalty::{LengthCost, LengthPenalty};
pub use length_scales::{LengthScales, LengthTerms};
pub use length_sums::{LengthSlopes, LengthSums};
pub use light_gather::LightGather;
pub use max_pool_backward::MaxPoolBackward;
pub use max_pool_forward::MaxPoolForward;
pub use memory_roof::MemoryRoof;
pub use metrics::Metrics;
pub use normalize_quantize::NormalizeQuantize;
pub use normalize_quantize_backward::{NormalizeQuantizeBackward, NormalizeRule};
pub use normalize_quantize_backward_sums::NormalizeQuantizeBackwardSums;
pub use pad_image::PadImage;
pub use product::{By, Form, Output, PlaneGroup, Product, ProductError, ScaleIndex};
pub use quantize_activation::{ActivationForm, QuantizeActivation};
pub use quantize_channels::QuantizeChannels;
pub use quantize_gradient::QuantizeGradient;
pub use quantize_groups::{ChannelSet, QuantizeGroups};
pub use quantize_weight::{QuantizeWeight, WeightRule};
pub use reduce::{Reduce, ReduceMap, ReduceOp};
pub use reference::{binary::SignRule, image::PixelScale, product::Kind, quantize::Rounding};
pub use relu_backward::ReluBackward;
pub use relu_forward::ReluForward;
pub use residual_codes::ResidualCodes;
pub use residual_mean::ResidualMean;
pub use residual_sums::{MEAN_STRIDE, ResidualSums, means_len};
pub use row_dots::RowDots;
pub use row_sums::RowSums;
pub use running_update::RunningUpdate;
pub use scale_matrix::ScaleMatrix;
pub use sgd::Sgd;
pub use sign_backward::SignBackward;
pub use soft_cross_entropy::SoftCrossEntropy;
pub use soft_gate::SoftGate;
pub use soft_gate_backward::SoftGateBackward;
pub use softmax_cross_entropy::SoftmaxCrossEntropy;
pub use squared_error::SquaredError;
pub use step_token::StepToken;
pub use straight_through::StraightThrough;
pub use subgroup_byte_product::SubgroupByteProduct;
pub use subgroup_product::{SubgroupProduct, SubgroupTile};
pub use tactic::{Arithmetic, ByteTile, Inexact, Tactic, UnknownTactic};
pub use tanh_backward::TanhBackward;
pub use tanh_forward::TanhForward;
pub use threshold_pack::ThresholdPack;
pub use tile_byte_product::TileByteProduct;
pub use tile_product::{TileProduct, WorkgroupTile};
pub use tiling::{WORKGROUP, groups_for, words_for};
pub use unfold_lines::UnfoldLines;
pub use weight_backward::WeightBackward;
pub use weight_max_backward::WeightMaxBackward;
pub use weight_max_sums::WeightMaxSums;
pub use weighted_sum::WeightedSum;
pub use window::Window;
pub use xor_product::XorProduct;

/// Texts that shaders import by name.
pub const SHARED: recording::shader::Library = &[
    ("bits", include_str!("../../../shaders/shared/bits.wgsl")),
    ("byte_dots", include_str!("../../../shaders/shared/byte_dots.wgsl")),
    ("code_words", include_str!("../../../shaders/shared/code_words.wgsl")),
    ("dispatch", include_str!("../../../shaders/shared/dispatch.wgsl")),
    ("field", include_str!("../../../shaders/shared/field.wgsl")),
    ("math", include_str!("../../../shaders/shared/math.wgsl")),
    ("pictures", include_str!("../../../shaders/shared/pictures.wgsl")),
    ("plane_counts", include_str!("../../../shaders/shared/plane_counts.wgsl")),
    ("product_params", include_str!("../../../shaders/shared/product_params.wgsl")),
    ("product", include_str!("../../../shaders/shared/product.wgsl")),
    ("quads", include_str!("../../../shaders/shared/quads.wgsl")),
    ("random", include_str!("../../../shaders/shared/random.wgsl")),
    ("reader", include_str!("../../../shaders/shared/reader.wgsl")),
    ("register_tile", include_str!("../../../shaders/shared/register_tile.wgsl")),
    ("residual", include_str!("../../../shaders/shared/residual.wgsl")),
    ("unfold", include_str!("../../../shaders/shared/unfold.wgsl")),
    ("window", include_str!("../../../shaders/shared/window.wgsl")),
    ("workgroup_sum", include_str!("../../../shaders/shared/workgroup_sum.wgsl")),
];

/// Every kernel of the product.
pub static REGISTRY: &[&Entry] = &[
    &adam::ENTRY,
    &add::ENTRY,
    &add_bias::ENTRY,
    &and_product::ENTRY,
    &arithmetic_roof::ENTRY,
    &avg_pool_backward::ENTRY,
    &avg_pool_forward::ENTRY,
    &batch_norm_backward::ENTRY,
    &batch_norm_backward_sums::ENTRY,
    &batch_norm_coefficients::ENTRY,
    &batch_norm_forward::ENTRY,
    &batch_norm_stats::ENTRY,
    &bit_pack::ENTRY,
    &bit_slice::ENTRY,
    &bit_transpose::ENTRY,
    &bit_unfold::ENTRY,
    &bit_unfold_grad::ENTRY,
    &bit_unpack::ENTRY,
    &box_filter::ENTRY,
    &byte_expand::ENTRY,
    &check_finite::ENTRY,
    &check_finite_list::ENTRY,
    &check_finite_spans::ENTRY,
    &clamp::ENTRY,
    &clip_backward::ENTRY,
    &clip_forward::ENTRY,
    &color_gather::ENTRY,
    &column_sum::ENTRY,
    &conv2d_forward::ENTRY,
    &conv2d_forward_subgroup::ENTRY,
    &conv2d_forward_vec4::ENTRY,
    &conv2d_grad_input::ENTRY,
    &conv2d_grad_input_subgroup::ENTRY,
    &conv2d_grad_input_vec4::ENTRY,
    &conv2d_grad_weight::ENTRY,
    &conv2d_grad_weight_subgroup::ENTRY,
    &conv2d_grad_weight_image::ENTRY,
    &conv2d_grad_weight_vec4::ENTRY,
    &copy_channels::ENTRY,
    &dequantize::ENTRY,
    &dropout_backward::ENTRY,
    &dropout_forward::ENTRY,
    &global_avg_pool_backward::ENTRY,
    &global_avg_pool_forward::ENTRY,
    &gradient_scales::ENTRY,
    &image_gather::ENTRY,
    &length_penalty::ENTRY,
    &length_scales::ENTRY,
    &length_sums::ENTRY,
    &light_gather::ENTRY,
    &max_pool_backward::ENTRY,
    &max_pool_forward::ENTRY,
    &memory_roof::ENTRY,
    &metrics::ENTRY,
    &normalize_quantize::ENTRY,
    &normalize_quantize_backward::ENTRY,
    &normalize_quantize_backward_sums::ENTRY,
    &pad_image::ENTRY,
    &quantize_activation::ENTRY,
    &quantize_channels::ENTRY,
    &quantize_gradient::ENTRY,
    &quantize_groups::ENTRY,
    &quantize_weight::ENTRY,
    &reduce::ENTRY,
    &relu_backward::ENTRY,
    &relu_forward::ENTRY,
    &residual_codes::ENTRY,
    &residual_mean::ENTRY,
    &residual_sums::ENTRY,
    &row_dots::ENTRY,
    &row_sums::ENTRY,
    &running_update::ENTRY,
    &scale_matrix::ENTRY,
    &sgd::ENTRY,
    &sign_backward::ENTRY,
    &soft_cross_entropy::ENTRY,
    &soft_gate::ENTRY,
    &soft_gate_backward::ENTRY,
    &softmax_cross_entropy::ENTRY,
    &squared_error::ENTRY,
    &step_token::ENTRY,
    &straight_through::ENTRY,
    &subgroup_byte_product::ENTRY,
    &subgroup_product::ENTRY,
    &tanh_backward::ENTRY,
    &tanh_forward::ENTRY,
    &threshold_pack::ENTRY,
    &tile_byte_product::ENTRY,
    &tile_product::ENTRY,
    &unfold_lines::ENTRY,
    &weight_backward::ENTRY,
    &weight_max_backward::ENTRY,
    &weight_max_sums::ENTRY,
    &weighted_sum::ENTRY,
    &xor_product::ENTRY,
];
