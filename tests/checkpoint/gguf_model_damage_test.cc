// Sound GGUF files that are no models, or not such as heed serves: each must be refused for its own
// reason.
#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/checkpoint/gguf_damage.h"

namespace heed {
namespace {

class GgufGpt2DamageTest : public testing::TestWithParam<Damage> {};
TEST_P(GgufGpt2DamageTest, IsRefused) {
  ExpectDamageRefused("gpt2", GetParam());
}
class GgufLlamaDamageTest : public testing::TestWithParam<Damage> {};
TEST_P(GgufLlamaDamageTest, IsRefused) {
  ExpectDamageRefused("llama", GetParam());
}
class GgufBertDamageTest : public testing::TestWithParam<Damage> {};
TEST_P(GgufBertDamageTest, IsRefused) {
  ExpectDamageRefused("bert", GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    Model, GgufGpt2DamageTest,
    testing::Values(
        Damage{"NoArchitecture", NoKey("general.architecture"), kInvalid,
               "m.gguf: has no key \"general.architecture\""},
        Damage{"ArchitectureIsANumber", Set("general.architecture", GgufU32(1)), kInvalid,
               "general.architecture is 1 (u32); it must be a string"},
        Damage{
            "UnknownArchitecture", Set("general.architecture", GgufText("mamba")), kUnimplemented,
            "m.gguf: general.architecture is \"mamba\"; heed supports \"gpt2\", \"llama\", \"sm"},
        Damage{"ArchitectureWithoutKeys", Set("general.architecture", GgufText("llama")), kInvalid,
               "m.gguf: has no key \"llama.block_count\""},
        Damage{"Adapter", Set("general.type", GgufText("adapter")), kUnimplemented,
               "general.type is \"adapter\"; heed supports \"model\""},
        Damage{"OldQuantization", Set("general.quantization_version", GgufU32(1)), kUnimplemented,
               "general.quantization_version is 1; heed supports 2"},
        Damage{"NoLayerCount", NoKey("gpt2.block_count"), kInvalid, "no key \"gpt2.block_count\""},
        Damage{"LayerCountIsText", Set("gpt2.block_count", GgufText("2")), kInvalid,
               "gpt2.block_count is \"2\" (string); it must be an integer from 1 to 1024"},
        Damage{"NoLayers", Set("gpt2.block_count", GgufU32(0)), kInvalid,
               "gpt2.block_count is 0 (u32); it must be an integer from 1 to 1024"},
        Damage{"MillionsOfLayers", Set("gpt2.block_count", GgufU32(4000000)), kInvalid,
               "gpt2.block_count is 4000000 (u32); it must be"},
        Damage{"NegativeLayers", Set("gpt2.block_count", GgufI32(-2)), kInvalid,
               "gpt2.block_count is -2 (i32); it must be"},
        Damage{"OneLayerTooMany", Set("gpt2.block_count", GgufU32(3)), kNotFound,
               "m.gguf: has no tensor \"blk.2.attn_norm.weight\", which must have shape [8]"},
        Damage{"OneLayerTooFew", Set("gpt2.block_count", GgufU32(1)), kUnimplemented,
               "m.gguf: has the tensor \"blk.1.attn_norm.weight\" of shape [8], which the archite"},
        Damage{"NoWidth", NoKey("gpt2.embedding_length"), kInvalid, "\"gpt2.embedding_length\""},
        Damage{"WrongWidth", Set("gpt2.embedding_length", GgufU32(16)), kInvalid,
               "tensor \"token_embd.weight\" has shape [11, 8], expected [11, 16]"},
        Damage{"HugeWidth", Set("gpt2.embedding_length", GgufU64(uint64_t{1} << 40)), kInvalid,
               "gpt2.embedding_length is 1099511627776 (u64); it must be an integer from 1 to"},
        Damage{"NoContext", NoKey("gpt2.context_length"), kInvalid, "\"gpt2.context_length\""},
        Damage{"WrongContext", Set("gpt2.context_length", GgufU32(17)), kInvalid,
               "tensor \"position_embd.weight\" has shape [16, 8], expected [17, 8]"},
        Damage{"NoHeads", NoKey("gpt2.attention.head_count"), kInvalid, "attention.head_count\""},
        Damage{"HeadsThatDoNotDivide", Set("gpt2.attention.head_count", GgufU32(3)), kInvalid,
               "the embedding length is 8, which the 3 attention heads do not divide"},
        Damage{"FewerKeyHeads", Set("gpt2.attention.head_count_kv", GgufU32(1)), kUnimplemented,
               "gpt2.attention.head_count_kv is 1; heed supports 2"},
        Damage{"NoFeedForward", NoKey("gpt2.feed_forward_length"), kInvalid, "feed_forward_length"},
        Damage{"WrongFeedForward", Set("gpt2.feed_forward_length", GgufU32(32)), kInvalid,
               "tensor \"blk.0.ffn_up.weight\" has shape [16, 8], expected [32, 8]"},
        Damage{"NoEpsilon", NoKey("gpt2.attention.layer_norm_epsilon"), kInvalid,
               "has no key \"gpt2.attention.layer_norm_epsilon\""},
        Damage{"EpsilonOfZero", Set("gpt2.attention.layer_norm_epsilon", GgufF32(0)), kInvalid,
               "layer_norm_epsilon is 0 (f32); it must be a floating-point number from 1e-30"},
        Damage{"EpsilonIsNan", Set("gpt2.attention.layer_norm_epsilon", GgufF32(std::nanf(""))),
               kInvalid, "layer_norm_epsilon is nan (f32); it must be"},
        Damage{"EpsilonIsAnInteger", Set("gpt2.attention.layer_norm_epsilon", GgufU32(1)), kInvalid,
               "layer_norm_epsilon is 1 (u32); it must be a floating-point number"},
        Damage{"UnknownKey", Set("gpt2.logit_scale", GgufF32(0.5f)), kUnimplemented,
               "m.gguf: gpt2.logit_scale is 0.5; heed does not know this key, which may change"},
        Damage{"WrongVocabularySize", Set("gpt2.vocab_size", GgufU32(12)), kInvalid,
               "gpt2.vocab_size is 12 (u32); it must be 11, the number of rows of token_embd"},
        Damage{"Bidirectional", Set("gpt2.attention.causal", GgufBool(false)), kUnimplemented,
               "gpt2.attention.causal is false; heed supports true"},
        Damage{"UnknownPooling", Set("gpt2.pooling_type", GgufU32(4)), kUnimplemented,
               "gpt2.pooling_type is 4; heed supports 0 (none), 1 (mean), 2 (first) and 3 (last)"},
        Damage{"EndBeyondTheVocabulary", Set("tokenizer.ggml.eos_token_id", GgufU32(11)), kInvalid,
               "tokenizer.ggml.eos_token_id is 11 (u32); it must be less than 11, the number of"},
        Damage{"NoEmbedding", [](TestGguf& f) { f.RemoveTensor("token_embd.weight"); }, kInvalid,
               "m.gguf: has no tensor \"token_embd.weight\""},
        Damage{"EmbeddingOfOneDimension", Dimensions("token_embd.weight", {88}), kInvalid,
               "tensor \"token_embd.weight\" has shape [88]; it must be a matrix"},
        Damage{"TransposedEmbedding", Dimensions("token_embd.weight", {11, 8}), kInvalid,
               "m.gguf: tokenizer.ggml.eos_token_id is 10 (u32); it must be less than 8, the n"},
        Damage{"NoBias", [](TestGguf& f) { f.RemoveTensor("blk.1.attn_qkv.bias"); }, kNotFound,
               "m.gguf: has no tensor \"blk.1.attn_qkv.bias\", which must have shape [24]"},
        Damage{"TransposedWeight", Dimensions("blk.0.attn_qkv.weight", {24, 8}), kInvalid,
               "tensor \"blk.0.attn_qkv.weight\" has shape [8, 24], expected [24, 8]"},
        Damage{
            "UnknownTensor",
            [](TestGguf& f) { f.tensors.push_back(F32Tensor("blk.0.attn_q_norm.weight", {4}, 1)); },
            kUnimplemented, "has the tensor \"blk.0.attn_q_norm.weight\" of shape [4], which the"},
        Damage{"IntegerTensor", Change("token_embd.weight", [](auto& t) { t.type = 26; }),
               kUnimplemented,
               "tensor \"token_embd.weight\" is stored as I32; heed reads F32, F16"},
        Damage{"TypeHeedDoesNotRead",
               Change("token_embd.weight",
                      [](auto& t) {
                        t.type = 20;
                        t.dimensions = {32, 11};
                        t.bytes = std::string(18 * 11, 'x');
                      }),
               kInvalid, "tensor \"token_embd.weight\" has shape [11, 32], expected [11, 8]"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Model, GgufLlamaDamageTest,
    testing::Values(
        Damage{"KeyHeadsThatDoNotDivide", Set("llama.attention.head_count", GgufU32(3)), kInvalid,
               "the embedding length is 8, which the 3 attention heads do not divide"},
        Damage{"MoreKeyHeadsThanHeads", Set("llama.attention.head_count_kv", GgufU32(4)), kInvalid,
               "attention.head_count is 2; it must be a multiple of attention.head_count_kv, 4"},
        Damage{"KeyHeadsByLayerDiffer", Set("llama.attention.head_count_kv", GgufI32s({1, 2})),
               kUnimplemented, "head_count_kv is [1, 2]; heed supports the same number for all"},
        Damage{"KeyHeadsForTooManyLayers",
               Set("llama.attention.head_count_kv", GgufI32s({1, 1, 1})), kInvalid,
               "head_count_kv is [1, 1, 1] (array of i32); it must be one number, or one for each"},
        Damage{"KeyHeadsForNoLayer", Set("llama.attention.head_count_kv", GgufI32s({})), kInvalid,
               "head_count_kv is [] (array of i32); it must be"},
        Damage{"ValueLengthDiffers", Set("llama.attention.value_length", GgufU32(8)),
               kUnimplemented, "llama.attention.value_length is 8; heed supports 4"},
        Damage{"HeadOfAnOddLength",
               [](TestGguf& f) {
                 f.Set("llama.attention.key_length", GgufU32(5));
                 f.Set("llama.rope.dimension_count", GgufU32(5));
               },
               kInvalid, "the length of a head is 5; rotary positions need an even number"},
        Damage{"HeadTooLong", Set("llama.attention.key_length", GgufU32(1u << 20)), kInvalid,
               "llama.attention.key_length is 1048576 (u32); it must be an integer from 1 to 4096"},
        Damage{"PartialRotation", Set("llama.rope.dimension_count", GgufU32(2)), kUnimplemented,
               "llama.rope.dimension_count is 2; heed supports 4"},
        Damage{"ThetaOfZero", Set("llama.rope.freq_base", GgufF32(0)), kInvalid,
               "llama.rope.freq_base is 0 (f32); it must be a floating-point number from 1 to"},
        Damage{"ThetaIsInfinite", Set("llama.rope.freq_base", GgufF32(INFINITY)), kInvalid,
               "llama.rope.freq_base is inf (f32)"},
        Damage{
            "OtherScaling", Set("llama.rope.scaling.type", GgufText("su")), kUnimplemented,
            "llama.rope.scaling.type is \"su\"; heed supports \"none\", \"linear\" and \"yarn\""},
        Damage{"ScalingFactorOfZero", Set("llama.rope.scaling.factor", GgufF32(0)), kInvalid,
               "llama.rope.scaling.factor is 0 (f32); it must be"},
        Damage{"ScaledAttention", Set("llama.rope.scaling.attn_factor", GgufF32(1.5f)),
               kUnimplemented, "llama.rope.scaling.attn_factor is 1.5; heed supports 1"},
        Damage{"WindowIsAFloat", Set("llama.attention.sliding_window", GgufF32(8)), kInvalid,
               "llama.attention.sliding_window is 8 (f32); it must be an integer"},
        Damage{"WindowByLayer", Set("llama.attention.sliding_window_pattern", GgufU32(2)),
               kUnimplemented, "sliding_window_pattern is 2; heed does not know this key"},
        Damage{"Experts", Set("llama.expert_count", GgufU32(8)), kUnimplemented,
               "llama.expert_count is 8; heed supports 0"},
        Damage{"NoUnembeddingButRows", Dimensions("output.weight", {8, 5}), kInvalid,
               "m.gguf: tensor"},
        Damage{"BiasOfOneProjection",
               [](TestGguf& f) { f.tensors.push_back(F32Tensor("blk.0.attn_q.bias", {8}, 1)); },
               kNotFound, "m.gguf: has no tensor \"blk.0.attn_k.bias\", which must have shape [4]"},
        Damage{"RotaryFactorsOfAnotherSize",
               [](TestGguf& f) { f.tensors.push_back(F32Tensor("rope_freqs.weight", {4}, 1)); },
               kInvalid, "tensor rope_freqs.weight has shape [4] of F32; it must be [2] of F32"},
        Damage{"RotaryFactorOfZero",
               [](TestGguf& f) {
                 f.tensors.push_back({"rope_freqs.weight", {2}, 0, std::string(8, '\0')});
               },
               kInvalid, "tensor rope_freqs.weight holds 0; every value must be from 1e-6 to 1e6"},
        Damage{"TokensAreNotTexts",
               [](TestGguf& f) {
                 f.Set("tokenizer.ggml.model", GgufText("llama"));
                 f.Set("tokenizer.ggml.tokens", GgufI32s(std::vector<int32_t>(11, 1)));
               },
               kInvalid, "tokenizer.ggml.tokens is [1, 1, 1, 1, ... 11 in all] (array of i32)"},
        Damage{"TooFewTokens",
               [](TestGguf& f) {
                 f.Set("tokenizer.ggml.model", GgufText("llama"));
                 f.Set("tokenizer.ggml.tokens", GgufTexts({"a", "b"}));
               },
               kInvalid, "it must be an array of 11 elements, one for each embedding row"},
        Damage{"TooManyScores",
               [](TestGguf& f) {
                 f.Set("tokenizer.ggml.model", GgufText("llama"));
                 f.Set("tokenizer.ggml.tokens", GgufTexts(std::vector<std::string>(11, "t")));
                 f.Set("tokenizer.ggml.scores", GgufF32s(std::vector<float>(12, 0)));
               },
               kInvalid, "tokenizer.ggml.scores is [0, 0, 0, 0, ... 12 in all] (array of f32); it"},
        Damage{"ScoreIsNan",
               [](TestGguf& f) {
                 f.Set("tokenizer.ggml.model", GgufText("llama"));
                 f.Set("tokenizer.ggml.tokens", GgufTexts(std::vector<std::string>(11, "t")));
                 f.Set("tokenizer.ggml.scores", GgufF32s(std::vector<float>(11, std::nanf(""))));
               },
               kInvalid, "tokenizer.ggml.scores[0] is nan; it must be finite"},
        Damage{"NegativeTokenType",
               [](TestGguf& f) {
                 f.Set("tokenizer.ggml.model", GgufText("llama"));
                 f.Set("tokenizer.ggml.tokens", GgufTexts(std::vector<std::string>(11, "t")));
                 f.Set("tokenizer.ggml.token_type", GgufI32s(std::vector<int32_t>(11, -1)));
               },
               kInvalid, "tokenizer.ggml.token_type[0] is -1; it must be an integer from 0 to"},
        Damage{"FlagIsANumber",
               [](TestGguf& f) {
                 f.Set("tokenizer.ggml.model", GgufText("llama"));
                 f.Set("tokenizer.ggml.tokens", GgufTexts(std::vector<std::string>(11, "t")));
                 f.Set("tokenizer.ggml.add_bos_token", GgufU32(1));
               },
               kInvalid, "tokenizer.ggml.add_bos_token is 1 (u32); it must be a bool"},
        Damage{"IdIsText", Set("tokenizer.ggml.bos_token_id", GgufText("<s>")), kInvalid,
               "tokenizer.ggml.bos_token_id is \"<s>\" (string); it must be an integer"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Model, GgufBertDamageTest,
    testing::Values(
        Damage{"Causal", Set("bert.attention.causal", GgufBool(true)), kUnimplemented,
               "bert.attention.causal is true; heed supports false"},
        Damage{"Reranker", Set("bert.pooling_type", GgufU32(4)), kUnimplemented,
               "bert.pooling_type is 4; heed supports"},
        Damage{"Classifier",
               [](TestGguf& f) {
                 f.tensors.push_back(F32Tensor("cls.weight", {8, 8}, 1));
               },
               kUnimplemented,
               "has the tensor \"cls.weight\" of shape [8, 8], which the architect"},
        Damage{"TokenTypesOfAnotherWidth", Dimensions("token_types.weight", {16}), kInvalid,
               "tensor \"token_types.weight\" has shape [16]; it must be a matrix"},
        Damage{"FusedProjections",
               [](TestGguf& f) {
                 f.tensors.push_back(F32Tensor("blk.0.attn_qkv.weight", {24, 8}, 1));
               },
               kUnimplemented,
               "has the tensor \"blk.0.attn_q.weight\" beside \"blk.0.attn_qkv.weight\""},
        Damage{"NoEmbeddingNorm", [](TestGguf& f) { f.RemoveTensor("token_embd_norm.bias"); },
               kNotFound, "has no tensor \"token_embd_norm.bias\", which must have shape [8]"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace heed
