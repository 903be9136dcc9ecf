// Sound GGUF files of every architecture whose values are wrong, or ask for what heed does not do:
// each must be refused for its own reason.
#include <cmath>
#include <ostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/checkpoint/gguf_damage.h"

namespace heed {
namespace {

struct FamilyDamage {
  const char* architecture;
  Damage damage;
};

void PrintTo(const FamilyDamage& damage, std::ostream* out) {
  *out << damage.architecture << " " << damage.damage.name;
}

class GgufFamilyDamageTest : public testing::TestWithParam<FamilyDamage> {};

TEST_P(GgufFamilyDamageTest, IsRefused) {
  ExpectDamageRefused(GetParam().architecture, GetParam().damage);
}

std::string TestName(const testing::TestParamInfo<FamilyDamage>& info) {
  std::string name = info.param.damage.name;
  return name;
}

std::function<void(TestGguf&)> Remove(std::string tensor) {
  return [=](TestGguf& file) { file.RemoveTensor(tensor); };
}

std::function<void(TestGguf&)> Add(std::string tensor, std::vector<int64_t> shape) {
  return [=](TestGguf& file) { file.tensors.push_back(F32Tensor(tensor, shape, 1)); };
}

std::function<void(TestGguf&)> Both(std::function<void(TestGguf&)> first,
                                    std::function<void(TestGguf&)> second) {
  return [=](TestGguf& file) {
    first(file);
    second(file);
  };
}

// A key with another value beside yarn's own, which are right.
std::function<void(TestGguf&)> Yarn(std::string key, std::string value) {
  return [=](TestGguf& file) {
    file.Set("qwen2.rope.scaling.type", GgufText("yarn"));
    file.Set("qwen2.rope.scaling.factor", GgufF32(4));
    file.Set("qwen2." + key, value);
  };
}

INSTANTIATE_TEST_SUITE_P(
    Qwen, GgufFamilyDamageTest,
    testing::Values(
        FamilyDamage{
            "qwen2",
            {"Qwen2Window", Set("qwen2.attention.sliding_window", GgufU32(8)), kUnimplemented,
             "qwen2.attention.sliding_window is 8; heed supports windows of at least the "
             "context length, 16"}},
        FamilyDamage{"qwen2",
                     {"Qwen2WindowIsNegative", Set("qwen2.attention.sliding_window", GgufI32(-1)),
                      kInvalid, "qwen2.attention.sliding_window is -1 (i32); it must be"}},
        FamilyDamage{"qwen2",
                     {"Qwen2WithoutKeyBias", Remove("blk.1.attn_k.bias"), kNotFound,
                      "has no tensor \"blk.1.attn_k.bias\", which must have shape [4]"}},
        FamilyDamage{"qwen2",
                     {"Qwen2OutputBias", Add("blk.0.attn_output.bias", {8}), kUnimplemented,
                      "has the tensor \"blk.0.attn_output.bias\" of shape [8]"}},
        FamilyDamage{"qwen2",
                     {"Qwen2KeyBiasOfAllHeads", Dimensions("blk.0.attn_k.bias", {8}), kInvalid,
                      "m.gguf: tensor"}},
        FamilyDamage{"qwen2",
                     {"Qwen2RopeFactors", Add("rope_freqs.weight", {2}), kUnimplemented,
                      "has the tensor \"rope_freqs.weight\" of shape [2]"}},
        FamilyDamage{"qwen2",
                     {"Qwen2PartialRotation", Set("qwen2.rope.dimension_count", GgufU32(2)),
                      kUnimplemented, "qwen2.rope.dimension_count is 2; heed supports 4"}},
        FamilyDamage{"qwen2",
                     {"Qwen2Sections", Set("qwen2.rope.dimension_sections", GgufI32s({1, 1, 0, 0})),
                      kUnimplemented,
                      "qwen2.rope.dimension_sections is [1, 1, 0, 0]; heed does not know this"}},
        FamilyDamage{"qwen2",
                     {"Qwen2Reranker", Set("qwen2.pooling_type", GgufU32(4)), kUnimplemented,
                      "qwen2.pooling_type is 4; heed supports"}},
        FamilyDamage{"qwen2",
                     {"Qwen2IsOfExperts", Set("qwen2.expert_used_count", GgufU32(2)),
                      kUnimplemented, "qwen2.expert_used_count is 2; heed supports 0"}},
        FamilyDamage{"qwen2",
                     {"FusedBesideSeparate", Add("blk.0.attn_qkv.weight", {16, 8}), kUnimplemented,
                      "has the tensor \"blk.0.attn_q.weight\" beside \"blk.0.attn_qkv.weight\""}},
        FamilyDamage{"qwen2",
                     {"FusedInPlaceOfOne",
                      Both(Remove("blk.1.attn_q.weight"), Add("blk.1.attn_qkv.weight", {16, 8})),
                      kUnimplemented,
                      "has the tensor \"blk.1.attn_k.weight\" beside \"blk.1.attn_qkv.weight\""}},
        FamilyDamage{
            "qwen2",
            {"FusedOfTooFewRows",
             Both(Remove("blk.0.attn_q.weight"), Add("blk.0.attn_qkv.weight", {8, 8})), kInvalid,
             "tensor \"blk.0.attn_qkv.weight\" has shape [8, 8], expected [16, 8]"}},
        FamilyDamage{
            "qwen2",
            {"FusedOfTooManyRows",
             Both(Remove("blk.1.attn_q.weight"), Add("blk.1.attn_qkv.weight", {24, 8})), kInvalid,
             "tensor \"blk.1.attn_qkv.weight\" has shape [24, 8], expected [16, 8]"}},
        FamilyDamage{
            "qwen2",
            {"QuantizedBias",
             [](TestGguf& f) {
               f.Set("qwen2.attention.key_length", GgufU32(32));
               f.Tensor("blk.0.attn_q.weight") = F32Tensor("blk.0.attn_q.weight", {64, 8}, 1);
               f.Tensor("blk.0.attn_q.bias") = {
                   "blk.0.attn_q.bias", {64}, 8, std::string(68, '\0')};
               f.Set("qwen2.attention.value_length", GgufU32(32));
             },
             kUnimplemented,
             "tensor \"blk.0.attn_q.bias\" is stored as Q8_0; heed reads vectors as F32"}},
        FamilyDamage{"qwen3",
                     {"Qwen3WithoutQueryNorm", Remove("blk.0.attn_q_norm.weight"), kNotFound,
                      "has no tensor \"blk.0.attn_q_norm.weight\", which must have shape [4]"}},
        FamilyDamage{"qwen3",
                     {"Qwen3WithoutKeyNorm", Remove("blk.1.attn_k_norm.weight"), kNotFound,
                      "has no tensor \"blk.1.attn_k_norm.weight\", which must have shape [4]"}},
        FamilyDamage{"qwen3",
                     {"Qwen3NormOfAllHeads",
                      [](TestGguf& f) {
                        f.Tensor("blk.0.attn_q_norm.weight") =
                            F32Tensor("blk.0.attn_q_norm.weight", {8}, 1);
                      },
                      kInvalid, "tensor \"blk.0.attn_q_norm.weight\" has shape [8], expected [4]"}},
        FamilyDamage{"qwen3",
                     {"Qwen3KeyLengthOfZero", Set("qwen3.attention.key_length", GgufU32(0)),
                      kInvalid, "qwen3.attention.key_length is 0 (u32); it must be an integer"}},
        FamilyDamage{"qwen3",
                     {"Qwen3KeyLengthIsText", Set("qwen3.attention.key_length", GgufText("4")),
                      kInvalid, "qwen3.attention.key_length is \"4\" (string)"}},
        FamilyDamage{"qwen3",
                     {"Qwen3OddHeads", Set("qwen3.attention.key_length", GgufU32(3)), kInvalid,
                      "the length of a head is 3; rotary positions need an even number"}},
        FamilyDamage{"qwen3",
                     {"Qwen3OtherHeads", Set("qwen3.attention.key_length", GgufU32(8)), kInvalid,
                      "tensor \"blk.0.attn_q.weight\" has shape [8, 8], expected [16, 8]"}},
        FamilyDamage{"qwen3",
                     {"Qwen3ValuesOfAnotherLength", Set("qwen3.attention.value_length", GgufU32(2)),
                      kUnimplemented, "qwen3.attention.value_length is 2; heed supports 4"}},
        FamilyDamage{"qwen3",
                     {"Qwen3Classifier", Add("cls.output.weight", {2, 8}), kUnimplemented,
                      "has the tensor \"cls.output.weight\" of shape [2, 8]"}}),
    TestName);

INSTANTIATE_TEST_SUITE_P(
    Rope, GgufFamilyDamageTest,
    testing::Values(
        FamilyDamage{
            "qwen2",
            {"LongRope", Set("qwen2.rope.scaling.type", GgufText("longrope")), kUnimplemented,
             "rope.scaling.type is \"longrope\"; heed supports \"none\", \"linear\" and"}},
        FamilyDamage{"qwen2",
                     {"ScalingTypeIsANumber", Set("qwen2.rope.scaling.type", GgufU32(1)), kInvalid,
                      "qwen2.rope.scaling.type is 1 (u32); it must be a string"}},
        FamilyDamage{"qwen2",
                     {"YarnWithoutFactor", Set("qwen2.rope.scaling.type", GgufText("yarn")),
                      kInvalid, "has no key \"qwen2.rope.scaling.factor\""}},
        FamilyDamage{"qwen2",
                     {"YarnFactorIsText", Yarn("rope.scaling.factor", GgufText("4")), kInvalid,
                      "qwen2.rope.scaling.factor is \"4\" (string); it must be a floating-point"}},
        FamilyDamage{"qwen2",
                     {"YarnFactorIsNan", Yarn("rope.scaling.factor", GgufF32(std::nanf(""))),
                      kInvalid, "qwen2.rope.scaling.factor is nan (f32)"}},
        FamilyDamage{
            "qwen2",
            {"YarnFactorBelowOne", Yarn("rope.scaling.factor", GgufF32(0.5f)), kInvalid,
             "qwen2.rope.scaling.factor is 0.5 (f32); it must be a floating-point number"}},
        FamilyDamage{
            "qwen2",
            {"YarnContextOfZero", Yarn("rope.scaling.original_context_length", GgufU32(0)),
             kInvalid, "original_context_length is 0 (u32); it must be an integer from 1"}},
        FamilyDamage{
            "qwen2",
            {"YarnContextIsAFloat", Yarn("rope.scaling.original_context_length", GgufF32(8)),
             kInvalid, "original_context_length is 8 (f32); it must be an integer"}},
        FamilyDamage{"qwen2",
                     {"YarnBetaOfZero", Yarn("rope.scaling.yarn_beta_fast", GgufF32(0)), kInvalid,
                      "yarn_beta_fast is 0 (f32); it must be a floating-point number"}},
        FamilyDamage{
            "qwen2",
            {"YarnBetasTheWrongWay", Yarn("rope.scaling.yarn_beta_slow", GgufF32(64)), kInvalid,
             "rope.scaling.yarn_beta_fast is 32; it must be at least "
             "rope.scaling.yarn_beta_slow, 64"}},
        FamilyDamage{"qwen2",
                     {"YarnTruncateIsANumber", Yarn("rope.scaling.yarn_truncate", GgufU32(1)),
                      kInvalid, "yarn_truncate is 1 (u32); it must be a bool"}},
        FamilyDamage{"qwen2",
                     {"YarnAttentionFactor", Yarn("rope.scaling.yarn_attn_factor", GgufF32(1)),
                      kUnimplemented, "yarn_attn_factor is 1; heed supports 1.13863"}},
        FamilyDamage{"qwen2",
                     {"YarnExtrapolation", Yarn("rope.scaling.yarn_ext_factor", GgufF32(0.5f)),
                      kUnimplemented, "yarn_ext_factor is 0.5; heed supports 1"}},
        FamilyDamage{"qwen2",
                     {"YarnLogMultiplier", Yarn("rope.scaling.yarn_log_multiplier", GgufF32(0.1f)),
                      kUnimplemented, "yarn_log_multiplier is 0.1; heed supports 0"}},
        FamilyDamage{"qwen2",
                     {"YarnThetaOfOne", Yarn("rope.freq_base", GgufF32(1)), kInvalid,
                      "qwen2.rope.freq_base is 1 (f32); it must be more than 1, which yarn needs"}},
        FamilyDamage{"qwen2",
                     {"YarnKeysWithoutYarn", Set("qwen2.rope.scaling.yarn_beta_fast", GgufF32(16)),
                      kUnimplemented, "yarn_beta_fast is 16; heed does not know this key"}},
        FamilyDamage{"qwen2",
                     {"AttentionFactor", Set("qwen2.rope.scaling.attn_factor", GgufF32(2)),
                      kUnimplemented, "qwen2.rope.scaling.attn_factor is 2; heed supports 1"}},
        FamilyDamage{"qwen2",
                     {"Alpha", Set("qwen2.rope.scaling.alpha", GgufF32(1000)), kUnimplemented,
                      "qwen2.rope.scaling.alpha is 1000; heed does not know this key"}}),
    TestName);

INSTANTIATE_TEST_SUITE_P(
    Gemma, GgufFamilyDamageTest,
    testing::Values(
        FamilyDamage{
            "gemma",
            {"GemmaWindow", Set("gemma.attention.sliding_window", GgufU32(4)), kUnimplemented,
             "gemma.attention.sliding_window is 4; heed supports windows"}},
        FamilyDamage{"gemma",
                     {"GemmaCap", Set("gemma.final_logit_softcapping", GgufF32(30)), kUnimplemented,
                      "gemma.final_logit_softcapping is 30; heed does not know this key"}},
        FamilyDamage{"gemma",
                     {"GemmaPostNorm", Add("blk.0.post_attention_norm.weight", {8}), kUnimplemented,
                      "has the tensor \"blk.0.post_attention_norm.weight\""}},
        FamilyDamage{"gemma",
                     {"GemmaQueryBias", Add("blk.0.attn_q.bias", {8}), kUnimplemented,
                      "has the tensor \"blk.0.attn_q.bias\""}},
        FamilyDamage{"gemma",
                     {"GemmaHeadsTooManyTogether",
                      Both(Set("gemma.attention.head_count", GgufU32(4096)),
                           Set("gemma.attention.key_length", GgufU32(4096))),
                      kInvalid, "4096 heads of 4096 are too large"}},
        FamilyDamage{"gemma2",
                     {"Gemma2CapOfZero", Set("gemma2.attn_logit_softcapping", GgufF32(0)), kInvalid,
                      "gemma2.attn_logit_softcapping is 0 (f32); it must be a floating-point"}},
        FamilyDamage{"gemma2",
                     {"Gemma2CapIsNegative", Set("gemma2.final_logit_softcapping", GgufF32(-30)),
                      kInvalid, "gemma2.final_logit_softcapping is -30 (f32)"}},
        FamilyDamage{"gemma2",
                     {"Gemma2CapIsAnInteger", Set("gemma2.final_logit_softcapping", GgufU32(30)),
                      kInvalid, "gemma2.final_logit_softcapping is 30 (u32)"}},
        FamilyDamage{"gemma2",
                     {"Gemma2WindowIsText", Set("gemma2.attention.sliding_window", GgufText("5")),
                      kInvalid, "gemma2.attention.sliding_window is \"5\" (string)"}},
        FamilyDamage{
            "gemma2",
            {"Gemma2PatternOfZero", Set("gemma2.attention.sliding_window_pattern", GgufU32(0)),
             kInvalid, "sliding_window_pattern is 0 (u32); it must be an integer from 1 to 1024"}},
        FamilyDamage{
            "gemma2",
            {"Gemma2PatternForThreeLayers",
             Set("gemma2.attention.sliding_window_pattern", GgufBools({true, true, false})),
             kInvalid,
             "sliding_window_pattern is [true, true, false] (array of bool); it must be a "
             "period, or one flag for each of the 2 layers"}},
        FamilyDamage{"gemma2",
                     {"Gemma2PatternOfNumbers",
                      Set("gemma2.attention.sliding_window_pattern", GgufI32s({1, 0})), kInvalid,
                      "sliding_window_pattern is [1, 0] (array of i32); it must be an array of b"}},
        FamilyDamage{"gemma2",
                     {"Gemma2OtherThetaInWindows", Set("gemma2.rope.freq_base_swa", GgufF32(500)),
                      kUnimplemented, "gemma2.rope.freq_base_swa is 500; heed supports 10000"}},
        FamilyDamage{"gemma2",
                     {"Gemma2WithoutPostNorm", Remove("blk.1.post_ffw_norm.weight"), kNotFound,
                      "has no tensor \"blk.1.post_ffw_norm.weight\", which must have shape [8]"}},
        FamilyDamage{"gemma2",
                     {"Gemma2WithHeadNorms", Add("blk.0.attn_q_norm.weight", {4}), kUnimplemented,
                      "has the tensor \"blk.0.attn_q_norm.weight\""}},
        FamilyDamage{"gemma3",
                     {"LargestGemmaWithoutShares",
                      [](TestGguf& f) {
                        f.Set("gemma3.block_count", GgufU32(62));
                        f.Set("gemma3.attention.head_count", GgufU32(16));
                        f.Set("gemma3.attention.key_length", GgufU32(4));
                      },
                      kInvalid, "the embedding length is 8, which the 16 attention heads do not"}},
        FamilyDamage{"gemma3",
                     {"Gemma3WithoutTheta", NoKey("gemma3.rope.freq_base"), kInvalid,
                      "has no key \"gemma3.rope.freq_base\""}},
        FamilyDamage{"gemma3",
                     {"Gemma3LocalThetaOfZero", Set("gemma3.rope.freq_base_swa", GgufF32(0)),
                      kInvalid, "gemma3.rope.freq_base_swa is 0 (f32); it must be"}},
        FamilyDamage{"gemma3",
                     {"Gemma3LocalThetaIsText", Set("gemma3.rope.freq_base_swa", GgufText("1e4")),
                      kInvalid, "gemma3.rope.freq_base_swa is \"1e4\" (string)"}},
        FamilyDamage{"gemma3",
                     {"Gemma3AttentionCap", Set("gemma3.attn_logit_softcapping", GgufF32(50)),
                      kUnimplemented, "gemma3.attn_logit_softcapping is 50; heed does not know"}},
        FamilyDamage{"gemma3",
                     {"Gemma3LogitCapOfZero", Set("gemma3.final_logit_softcapping", GgufF32(0)),
                      kInvalid, "gemma3.final_logit_softcapping is 0 (f32)"}},
        FamilyDamage{"gemma3",
                     {"Gemma3Embedding", Set("gemma3.attention.causal", GgufBool(false)),
                      kUnimplemented, "gemma3.attention.causal is false; heed supports true"}},
        FamilyDamage{"gemma3",
                     {"Gemma3WithoutHeadNorm", Remove("blk.0.attn_k_norm.weight"), kNotFound,
                      "has no tensor \"blk.0.attn_k_norm.weight\", which must have shape [4]"}},
        FamilyDamage{"gemma3",
                     {"Gemma3Vision", Add("v.patch_embd.weight", {8, 8}), kUnimplemented,
                      "has the tensor \"v.patch_embd.weight\" of shape [8, 8]"}}),
    TestName);

INSTANTIATE_TEST_SUITE_P(
    Others, GgufFamilyDamageTest,
    testing::Values(
        FamilyDamage{
            "gptneox",
            {"NeoXRotationOfZero", Set("gptneox.rope.dimension_count", GgufU32(0)), kInvalid,
             "rope.dimension_count is 0 (u32); it must be an integer from 2 to"}},
        FamilyDamage{"gptneox",
                     {"NeoXOddRotation", Set("gptneox.rope.dimension_count", GgufU32(3)), kInvalid,
                      "gptneox.rope.dimension_count is 3 (u32); it must be an even number"}},
        FamilyDamage{
            "gptneox",
            {"NeoXRotatesMoreThanAHead", Set("gptneox.rope.dimension_count", GgufU32(6)), kInvalid,
             "rope.dimension_count is 6 (u32); it must be an integer from 2 to 4"}},
        FamilyDamage{"gptneox",
                     {"NeoXResidualIsANumber", Set("gptneox.use_parallel_residual", GgufU32(1)),
                      kInvalid, "gptneox.use_parallel_residual is 1 (u32); it must be a bool"}},
        FamilyDamage{"gptneox",
                     {"NeoXRmsEpsilon",
                      Both(NoKey("gptneox.attention.layer_norm_epsilon"),
                           Set("gptneox.attention.layer_norm_rms_epsilon", GgufF32(1e-5f))),
                      kInvalid, "has no key \"gptneox.attention.layer_norm_epsilon\""}},
        FamilyDamage{"gptneox",
                     {"NeoXFewerKeyHeads", Set("gptneox.attention.head_count_kv", GgufU32(1)),
                      kUnimplemented, "gptneox.attention.head_count_kv is 1; heed supports 2"}},
        FamilyDamage{"gptneox",
                     {"NeoXSeparateProjections", Remove("blk.0.attn_qkv.weight"), kNotFound,
                      "has no tensor \"blk.0.attn_qkv.weight\", which must have shape [24, 8]"}},
        FamilyDamage{"gptneox",
                     {"NeoXBiasOfOneLayer", Remove("blk.1.attn_qkv.bias"), kNotFound,
                      "has no tensor \"blk.1.attn_qkv.bias\", which must have shape [24]"}},
        FamilyDamage{"gptneox",
                     {"NeoXHeadsThatDoNotDivide", Set("gptneox.attention.head_count", GgufU32(3)),
                      kInvalid, "the embedding length is 8, which the 3 attention heads do not"}},
        FamilyDamage{"gptneox",
                     {"NeoXOwnKeyLength", Set("gptneox.attention.key_length", GgufU32(8)),
                      kUnimplemented, "gptneox.attention.key_length is 8; heed supports 4"}},
        FamilyDamage{"phi2",
                     {"PhiWithoutUnembeddingBias", Remove("output.bias"), kNotFound,
                      "has no tensor \"output.bias\", which must have shape [11]"}},
        FamilyDamage{"phi2",
                     {"PhiUnembeddingBiasOfAnotherSize", Dimensions("output.bias", {8}), kInvalid,
                      "m.gguf: tensor"}},
        FamilyDamage{"phi2",
                     {"PhiFeedForwardNorm", Add("blk.0.ffn_norm.weight", {8}), kUnimplemented,
                      "has the tensor \"blk.0.ffn_norm.weight\""}},
        FamilyDamage{"phi2",
                     {"PhiRotationIsText", Set("phi2.rope.dimension_count", GgufText("2")),
                      kInvalid, "phi2.rope.dimension_count is \"2\" (string)"}},
        FamilyDamage{"phi2",
                     {"PhiWithoutOutputBias", Remove("blk.0.attn_output.bias"), kNotFound,
                      "has no tensor \"blk.0.attn_output.bias\", which must have shape [8]"}},
        FamilyDamage{"bloom",
                     {"BloomOtherSlopes", Set("bloom.attention.max_alibi_bias", GgufF32(16)),
                      kUnimplemented, "bloom.attention.max_alibi_bias is 16; heed supports 8"}},
        FamilyDamage{"bloom",
                     {"BloomClampedProjections", Set("bloom.attention.clamp_kqv", GgufF32(8)),
                      kUnimplemented, "bloom.attention.clamp_kqv is 8; heed does not know this"}},
        FamilyDamage{"bloom",
                     {"BloomWithoutEmbeddingNorm", Remove("token_embd_norm.weight"), kNotFound,
                      "has no tensor \"token_embd_norm.weight\", which must have shape [8]"}},
        FamilyDamage{"bloom",
                     {"BloomPositions", Add("position_embd.weight", {16, 8}), kUnimplemented,
                      "has the tensor \"position_embd.weight\" of shape [16, 8]"}},
        FamilyDamage{"bloom",
                     {"BloomRotation", Set("bloom.rope.dimension_count", GgufU32(4)),
                      kUnimplemented, "bloom.rope.dimension_count is 4; heed does not know this"}},
        FamilyDamage{"modern-bert",
                     {"ModernBertActivation",
                      Set("modern-bert.hidden_activation", GgufText("relu")), kUnimplemented,
                      "modern-bert.hidden_activation is \"relu\"; heed supports \"gelu\" and"}},
        FamilyDamage{
            "modern-bert",
            {"ModernBertActivationIsANumber", Set("modern-bert.hidden_activation", GgufU32(1)),
             kInvalid, "modern-bert.hidden_activation is 1 (u32); it must be a string"}},
        FamilyDamage{"modern-bert",
                     {"ModernBertTwoEpsilons",
                      Set("modern-bert.attention.layer_norm_rms_epsilon", GgufF32(1e-6f)),
                      kUnimplemented, "layer_norm_rms_epsilon is 1e-06; heed supports 1e-05"}},
        FamilyDamage{"modern-bert",
                     {"ModernBertWithoutTheta", NoKey("modern-bert.rope.freq_base"), kInvalid,
                      "has no key \"modern-bert.rope.freq_base\""}},
        FamilyDamage{"modern-bert",
                     {"ModernBertCausal", Set("modern-bert.attention.causal", GgufBool(true)),
                      kUnimplemented, "modern-bert.attention.causal is true; heed supports false"}},
        FamilyDamage{"modern-bert",
                     {"ModernBertFirstNorm", Add("blk.0.attn_norm.weight", {8}), kUnimplemented,
                      "has the tensor \"blk.0.attn_norm.weight\""}},
        FamilyDamage{"modern-bert",
                     {"ModernBertWithoutSecondNorm", Remove("blk.1.attn_norm.weight"), kNotFound,
                      "has no tensor \"blk.1.attn_norm.weight\", which must have shape [8]"}},
        FamilyDamage{
            "modern-bert",
            {"ModernBertUngated",
             [](TestGguf& f) {
               f.Tensor("blk.0.ffn_up.weight") = F32Tensor("blk.0.ffn_up.weight", {16, 8}, 1);
             },
             kInvalid, "tensor \"blk.0.ffn_up.weight\" has shape [16, 8], expected [32, 8]"}},
        FamilyDamage{"modern-bert",
                     {"ModernBertClassifier", Add("cls.output.weight", {2, 8}), kUnimplemented,
                      "has the tensor \"cls.output.weight\""}},
        FamilyDamage{"modern-bert",
                     {"ModernBertPatternIsText",
                      Set("modern-bert.attention.sliding_window_pattern", GgufText("3")), kInvalid,
                      "sliding_window_pattern is \"3\" (string); it must be an integer"}}),
    TestName);

// Phi-3's factors for both kinds of sequences, less what `without` takes away.
std::function<void(TestGguf&)> LongRope(std::function<void(TestGguf&)> without) {
  return [=](TestGguf& file) {
    file.Set("phi3.rope.scaling.original_context_length", GgufU32(4));
    for (const char* name : {"rope_factors_short.weight", "rope_factors_long.weight"}) {
      file.tensors.push_back({name, {2}, 0, std::string("\0\0\x80\x3F\0\0\x80\x3F", 8)});
    }
    without(file);
  };
}

INSTANTIATE_TEST_SUITE_P(
    Further, GgufFamilyDamageTest,
    testing::Values(
        FamilyDamage{"phi3",
                     {"Phi3ShortFactorsOnly", LongRope(Remove("rope_factors_long.weight")),
                      kInvalid, "has no tensor \"rope_factors_long.weight\", but its counterpart"}},
        FamilyDamage{
            "phi3",
            {"Phi3LongFactorsOnly", LongRope(Remove("rope_factors_short.weight")), kInvalid,
             "has no tensor \"rope_factors_short.weight\", but its counterpart"}},
        FamilyDamage{"phi3",
                     {"Phi3WithoutOriginalContext",
                      LongRope(NoKey("phi3.rope.scaling.original_context_length")), kInvalid,
                      "has no key \"phi3.rope.scaling.original_context_length\""}},
        FamilyDamage{
            "phi3",
            {"Phi3OriginalContextOfZero",
             LongRope(Set("phi3.rope.scaling.original_context_length", GgufU32(0))), kInvalid,
             "original_context_length is 0 (u32); it must be an integer from 1"}},
        FamilyDamage{"phi3",
                     {"Phi3FactorsOfAnotherNumber",
                      LongRope(Dimensions("rope_factors_long.weight", {1})), kInvalid, "m.gguf: "}},
        FamilyDamage{"phi3",
                     {"Phi3FactorOfZero",
                      LongRope(Change("rope_factors_long.weight", [](auto& t) { t.bytes[3] = 0; })),
                      kInvalid, "tensor rope_factors_long.weight holds "}},
        FamilyDamage{"phi3",
                     {"Phi3AttentionFactorOfZero",
                      LongRope(Set("phi3.rope.scaling.attn_factor", GgufF32(0))), kInvalid,
                      "phi3.rope.scaling.attn_factor is 0 (f32); it must be a floating-point"}},
        FamilyDamage{
            "phi3",
            {"Phi3IsOfAnotherScaling", LongRope(Set("phi3.rope.scaling.type", GgufText("yarn"))),
             kUnimplemented, "phi3.rope.scaling.type is \"yarn\"; heed supports \"longrope\""}},
        FamilyDamage{"phi3",
                     {"Phi3AttentionFactorWithoutFactors",
                      Set("phi3.rope.scaling.attn_factor", GgufF32(1.2f)), kUnimplemented,
                      "phi3.rope.scaling.attn_factor is 1.2; heed supports 1"}},
        FamilyDamage{
            "phi3",
            {"Phi3UngatedFeedForward",
             [](TestGguf& f) {
               f.Tensor("blk.1.ffn_up.weight") = F32Tensor("blk.1.ffn_up.weight", {16, 8}, 1);
             },
             kInvalid, "tensor \"blk.1.ffn_up.weight\" has shape [16, 8], expected [32, 8]"}},
        FamilyDamage{"phi3",
                     {"Phi3Experts", Add("blk.0.ffn_gate_inp.weight", {2, 8}), kUnimplemented,
                      "has the tensor \"blk.0.ffn_gate_inp.weight\""}},
        FamilyDamage{"smollm3",
                     {"SmolLm3Window", Set("smollm3.attention.sliding_window", GgufU32(4)),
                      kUnimplemented, "smollm3.attention.sliding_window is 4; heed supports"}},
        FamilyDamage{"smollm3",
                     {"SmolLm3RopeFactors", Add("rope_freqs.weight", {2}), kUnimplemented,
                      "has the tensor \"rope_freqs.weight\""}},
        FamilyDamage{"starcoder2",
                     {"StarCoderWithoutNormBias", Remove("blk.0.ffn_norm.bias"), kNotFound,
                      "has no tensor \"blk.0.ffn_norm.bias\", which must have shape [8]"}},
        FamilyDamage{"starcoder2",
                     {"StarCoderGate", Add("blk.0.ffn_gate.weight", {16, 8}), kUnimplemented,
                      "has the tensor \"blk.0.ffn_gate.weight\""}},
        FamilyDamage{"starcoder2",
                     {"StarCoderWindow", Set("starcoder2.attention.sliding_window", GgufU32(4)),
                      kUnimplemented, "starcoder2.attention.sliding_window is 4; heed supports"}},
        FamilyDamage{"stablelm",
                     {"StableLmInParallel", Remove("blk.0.ffn_norm.weight"), kNotFound,
                      "has no tensor \"blk.0.ffn_norm.weight\", which must have shape [8]"}},
        FamilyDamage{"stablelm",
                     {"StableLmHeadNorms", Add("blk.0.attn_q_norm.weight", {2, 4}), kUnimplemented,
                      "has the tensor \"blk.0.attn_q_norm.weight\""}},
        FamilyDamage{"stablelm",
                     {"StableLmOddRotation", Set("stablelm.rope.dimension_count", GgufU32(1)),
                      kInvalid, "stablelm.rope.dimension_count is 1 (u32); it must be"}},
        FamilyDamage{"mpt",
                     {"MptWithoutSlopes", Set("mpt.attention.max_alibi_bias", GgufF32(0)),
                      kUnimplemented, "mpt.attention.max_alibi_bias is 0; heed supports 8"}},
        FamilyDamage{"mpt",
                     {"MptSaysNothingOfSlopes", NoKey("mpt.attention.max_alibi_bias"), kInvalid,
                      "has no key \"mpt.attention.max_alibi_bias\""}},
        FamilyDamage{"mpt",
                     {"MptClamped", Set("mpt.attention.clamp_kqv", GgufF32(8)), kUnimplemented,
                      "mpt.attention.clamp_kqv is 8; heed supports 0"}},
        FamilyDamage{"mpt",
                     {"MptBias", Add("blk.0.attn_qkv.bias", {24}), kUnimplemented,
                      "has the tensor \"blk.0.attn_qkv.bias\""}},
        FamilyDamage{"mpt",
                     {"MptFewerKeyHeads", Set("mpt.attention.head_count_kv", GgufU32(1)),
                      kUnimplemented, "mpt.attention.head_count_kv is 1; heed supports 2"}}),
    TestName);

}  // namespace
}  // namespace heed
