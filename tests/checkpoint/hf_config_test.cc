#include "model/checkpoint/hf_config.h"

#include <cmath>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/config_values.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::IsEmpty;
using ::testing::Optional;

TEST(HfConfigTest, Gpt2Facts) {
  const auto model = ReadWith("gpt2", {{"layer_norm_epsilon", "0.001"}});
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->architecture, "gpt2");
  EXPECT_EQ(model->n_layers, 3);
  EXPECT_EQ(model->n_heads, 4);
  EXPECT_EQ(model->n_kv_heads, 4);
  EXPECT_EQ(model->head_dim, 8);
  EXPECT_EQ(model->width, 32);
  EXPECT_EQ(model->ffn_width, 128);
  EXPECT_EQ(model->vocab_size, 300);
  EXPECT_EQ(model->context_window, 64);
  EXPECT_EQ(model->token_types, 0);
  EXPECT_TRUE(model->causal);
  EXPECT_EQ(model->norm, NormKind::kLayerNorm);
  EXPECT_EQ(model->norm_placement, NormPlacement::kPre);
  EXPECT_EQ(model->norm_eps, 0.001);
  EXPECT_EQ(model->position, PositionKind::kLearned);
  EXPECT_EQ(model->activation, Activation::kGeluTanh);
  EXPECT_FALSE(model->gated_mlp);
  EXPECT_TRUE(model->tied_embeddings);
  EXPECT_DOUBLE_EQ(model->attention_scale, 1 / std::sqrt(8.0));
}

TEST(HfConfigTest, LlamaFacts) {
  const auto model = ReadWith("llama", {{"head_dim", "12"},
                                        {"rms_norm_eps", "1e-05"},
                                        {"rope_theta", "5000.0"},
                                        {"attention_bias", "true"},
                                        {"mlp_bias", "true"},
                                        {"tie_word_embeddings", "true"},
                                        {"pretraining_tp", "2"}});
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->architecture, "llama");
  EXPECT_EQ(model->n_kv_heads, 2);
  EXPECT_EQ(model->head_dim, 12);
  EXPECT_EQ(model->query_width(), 48);
  EXPECT_EQ(model->kv_width(), 24);
  EXPECT_EQ(model->ffn_width, 72);
  EXPECT_EQ(model->context_window, 128);
  EXPECT_TRUE(model->causal);
  EXPECT_EQ(model->norm, NormKind::kRmsNorm);
  EXPECT_EQ(model->norm_placement, NormPlacement::kPre);
  EXPECT_EQ(model->norm_eps, 1e-5);
  EXPECT_EQ(model->position, PositionKind::kRope);
  EXPECT_EQ(model->rope_theta, 5000);
  EXPECT_EQ(model->rope_scaling.kind, RopeScaling::Kind::kNone);
  EXPECT_EQ(model->activation, Activation::kSilu);
  EXPECT_TRUE(model->gated_mlp);
  EXPECT_TRUE(model->attention_bias);
  EXPECT_TRUE(model->mlp_bias);
  EXPECT_TRUE(model->tied_embeddings);
  EXPECT_DOUBLE_EQ(model->attention_scale, 1 / std::sqrt(12.0));
}

TEST(HfConfigTest, BertFacts) {
  const auto model = ReadWith("bert", {{"type_vocab_size", "5"}});
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->architecture, "bert");
  EXPECT_EQ(model->head_dim, 8);
  EXPECT_EQ(model->ffn_width, 64);
  EXPECT_EQ(model->token_types, 5);
  EXPECT_FALSE(model->causal);
  EXPECT_EQ(model->norm, NormKind::kLayerNorm);
  EXPECT_EQ(model->norm_placement, NormPlacement::kPost);
  EXPECT_EQ(model->norm_eps, 1e-12);
  EXPECT_EQ(model->position, PositionKind::kLearned);
  EXPECT_EQ(model->activation, Activation::kGeluErf);
  EXPECT_FALSE(model->gated_mlp);
  EXPECT_TRUE(model->tied_embeddings);
  EXPECT_THAT(model->eos_ids, IsEmpty());
  EXPECT_EQ(model->bos_id, std::nullopt);
}

TEST(HfConfigTest, MixingFacts) {
  const auto model = ReadWith("heed_mixing", {{"architectures", "[\"HeedMixingForCausalLM\"]"},
                                              {"eos_token_id", "0"},
                                              {"bos_token_id", "null"},
                                              {"torch_dtype", "\"float16\""}});
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->architecture, "heed_mixing");
  EXPECT_EQ(model->mixing, MixingPattern::kAttention);
  EXPECT_EQ(model->position, PositionKind::kNone);
  EXPECT_EQ(model->n_layers, 1);
  EXPECT_EQ(model->n_heads, 1);
  EXPECT_EQ(model->n_kv_heads, 1);
  EXPECT_EQ(model->head_dim, 32);
  EXPECT_EQ(model->width, 32);
  EXPECT_EQ(model->ffn_width, 0);
  EXPECT_EQ(model->vocab_size, 300);
  EXPECT_EQ(model->context_window, 64);
  EXPECT_TRUE(model->causal);
  EXPECT_TRUE(model->tied_embeddings);
  EXPECT_DOUBLE_EQ(model->attention_scale, 1 / std::sqrt(32.0));
  EXPECT_THAT(model->eos_ids, ElementsAre(0));
  EXPECT_EQ(model->bos_id, std::nullopt);
}

TEST(HfConfigTest, MixingPatternsAndPositions) {
  const auto with = [](const char* mixing, const char* position) {
    return ReadWith("heed_mixing", {{"mixing", mixing}, {"position_encoding", position}});
  };
  EXPECT_EQ(with("\"last_word\"", "\"none\"")->mixing, MixingPattern::kLastWord);
  EXPECT_EQ(with("\"average\"", "\"none\"")->mixing, MixingPattern::kAverage);
  const auto weighted = with("\"weighted\"", "\"learned\"");
  ASSERT_THAT(weighted, IsOk());
  EXPECT_EQ(weighted->mixing, MixingPattern::kWeighted);
  EXPECT_EQ(weighted->position, PositionKind::kLearned);
  EXPECT_EQ(weighted->attention_scale, 1);
  EXPECT_EQ(ReadWith("gpt2", {})->mixing, MixingPattern::kAttention);
}

TEST(HfConfigTest, MissingKeysTakeTheDefaultsOfTransformers) {
  const auto gpt2 = Read(R"({"model_type": "gpt2"})");
  ASSERT_THAT(gpt2, IsOk());
  EXPECT_EQ(gpt2->n_layers, 12);
  EXPECT_EQ(gpt2->head_dim, 64);
  EXPECT_EQ(gpt2->ffn_width, 3072);
  EXPECT_EQ(gpt2->vocab_size, 50257);
  EXPECT_EQ(gpt2->context_window, 1024);
  EXPECT_EQ(gpt2->norm_eps, 1e-5);
  EXPECT_THAT(gpt2->eos_ids, ElementsAre(50256));
  EXPECT_THAT(gpt2->bos_id, Optional(50256));
  const auto llama = Read(R"({"model_type": "llama"})");
  ASSERT_THAT(llama, IsOk());
  EXPECT_EQ(llama->n_layers, 32);
  EXPECT_EQ(llama->n_kv_heads, 32);
  EXPECT_EQ(llama->head_dim, 128);
  EXPECT_EQ(llama->ffn_width, 11008);
  EXPECT_EQ(llama->vocab_size, 32000);
  EXPECT_EQ(llama->context_window, 2048);
  EXPECT_EQ(llama->norm_eps, 1e-6);
  EXPECT_EQ(llama->rope_theta, 10000);
  EXPECT_FALSE(llama->attention_bias);
  EXPECT_FALSE(llama->mlp_bias);
  EXPECT_FALSE(llama->tied_embeddings);
  EXPECT_THAT(llama->eos_ids, ElementsAre(2));
  EXPECT_THAT(llama->bos_id, Optional(1));
  const auto bert = Read(R"({"model_type": "bert"})");
  ASSERT_THAT(bert, IsOk());
  EXPECT_EQ(bert->vocab_size, 30522);
  EXPECT_EQ(bert->ffn_width, 3072);
  EXPECT_EQ(bert->context_window, 512);
  EXPECT_EQ(bert->token_types, 2);
}

TEST(HfConfigTest, ArchitectureMayBeKnownByItsClassAlone) {
  const auto with_class = [](const char* name) {
    return Read(absl::StrCat("{\"architectures\": [\"", name, "\"]}"));
  };
  EXPECT_EQ(with_class("GPT2LMHeadModel")->architecture, "gpt2");
  EXPECT_EQ(with_class("LlamaForCausalLM")->architecture, "llama");
  EXPECT_EQ(with_class("BertForMaskedLM")->architecture, "bert");
}

TEST(HfConfigTest, KeysHaveAliases) {
  const auto gpt2 = Read(R"({"model_type": "gpt2", "num_hidden_layers": 3, "hidden_size": 32,
                             "num_attention_heads": 4, "max_position_embeddings": 64,
                             "vocab_size": 300, "layer_norm_eps": 0.01, "hidden_act": "relu",
                             "intermediate_size": 7})");
  ASSERT_THAT(gpt2, IsOk());
  EXPECT_EQ(gpt2->n_layers, 3);
  EXPECT_EQ(gpt2->width, 32);
  EXPECT_EQ(gpt2->n_heads, 4);
  EXPECT_EQ(gpt2->context_window, 64);
  EXPECT_EQ(gpt2->norm_eps, 0.01);
  EXPECT_EQ(gpt2->activation, Activation::kRelu);
  EXPECT_EQ(gpt2->ffn_width, 7);
}

TEST(HfConfigTest, AliasesThatAgreeAreFineAndNCtxYieldsToNPositions) {
  EXPECT_THAT(ReadWith("gpt2", {{"hidden_size", "32"}}), IsOk());
  const auto model = ReadWith("gpt2", {{"n_ctx", "32"}});
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->context_window, 64);
  EXPECT_EQ(ReadWith("gpt2", {{"n_ctx", "32"}, {"n_positions", ""}})->context_window, 32);
}

TEST(HfConfigTest, NullStandsForNotSetWhereTransformersWritesIt) {
  EXPECT_EQ(ReadWith("gpt2", {{"n_inner", "null"}})->ffn_width, 128);
  EXPECT_EQ(ReadWith("gpt2", {{"n_inner", "100"}})->ffn_width, 100);
  EXPECT_EQ(ReadWith("llama", {{"num_key_value_heads", "null"}})->n_kv_heads, 4);
  EXPECT_EQ(ReadWith("llama", {{"num_key_value_heads", ""}})->n_kv_heads, 4);
  EXPECT_EQ(ReadWith("llama", {{"head_dim", "null"}})->head_dim, 8);
  EXPECT_THAT(ReadWith("llama", {{"rope_scaling", "null"}, {"rope_parameters", "null"}}), IsOk());
  EXPECT_THAT(ReadWith("bert", {{"classifier_dropout", "null"}, {"pruned_heads", "{}"}}), IsOk());
}

TEST(HfConfigTest, EveryNameOfAnActivation) {
  const std::map<std::string, Activation> names = {{"gelu", Activation::kGeluErf},
                                                   {"gelu_python", Activation::kGeluErf},
                                                   {"gelu_new", Activation::kGeluTanh},
                                                   {"gelu_fast", Activation::kGeluTanh},
                                                   {"gelu_accurate", Activation::kGeluTanh},
                                                   {"gelu_pytorch_tanh", Activation::kGeluTanh},
                                                   {"silu", Activation::kSilu},
                                                   {"swish", Activation::kSilu},
                                                   {"relu", Activation::kRelu},
                                                   {"gelu_python_tanh", Activation::kGeluTanh}};
  for (const auto& [name, activation] : names) {
    const std::string value = absl::StrCat("\"", name, "\"");
    EXPECT_EQ(ReadWith("gpt2", {{"activation_function", value}})->activation, activation) << name;
    EXPECT_EQ(ReadWith("llama", {{"hidden_act", value}})->activation, activation) << name;
    EXPECT_EQ(ReadWith("bert", {{"hidden_act", value}})->activation, activation) << name;
  }
}

TEST(HfConfigTest, Gpt2WithoutScalingOfScores) {
  EXPECT_EQ(ReadWith("gpt2", {{"scale_attn_weights", "false"}})->attention_scale, 1);
  EXPECT_THAT(ReadWith("gpt2", {{"reorder_and_upcast_attn", "true"}}), IsOk());
}

TEST(HfRopeTest, ThetaOfBothGenerations) {
  EXPECT_EQ(ReadWith("llama", {{"rope_theta", "500000"}})->rope_theta, 500000);
  const auto model =
      ReadWith("llama", {{"rope_parameters", R"({"rope_type": "default", "rope_theta": 5e5})"}});
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->rope_theta, 500000);
  EXPECT_EQ(model->rope_scaling.kind, RopeScaling::Kind::kNone);
}

TEST(HfRopeTest, LinearOfBothGenerations) {
  for (const Values& values :
       {Values{{"rope_theta", "5000"}, {"rope_scaling", R"({"type": "linear", "factor": 2.5})"}},
        Values{{"rope_theta", "5000"}, {"rope_scaling", R"({"rope_type":"linear","factor":2.5})"}},
        Values{{"rope_parameters",
                R"({"rope_type": "linear", "factor": 2.5, "rope_theta": 5000})"}}}) {
    const auto model = ReadWith("llama", values);
    ASSERT_THAT(model, IsOk());
    EXPECT_EQ(model->rope_theta, 5000);
    EXPECT_EQ(model->rope_scaling.kind, RopeScaling::Kind::kLinear);
    EXPECT_EQ(model->rope_scaling.factor, 2.5);
  }
}

constexpr char kLlama3[] =
    R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32, "rope_theta": 500.0})";

TEST(HfRopeTest, Llama3OfBothGenerations) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto model = ReadWith("llama", {{key, kLlama3}});
    ASSERT_THAT(model, IsOk());
    EXPECT_EQ(model->rope_theta, 500);
    EXPECT_EQ(model->rope_scaling.kind, RopeScaling::Kind::kLlama3);
    EXPECT_EQ(model->rope_scaling.factor, 8);
    EXPECT_EQ(model->rope_scaling.low_freq_factor, 1);
    EXPECT_EQ(model->rope_scaling.high_freq_factor, 4);
    EXPECT_EQ(model->rope_scaling.original_context, 32);
  }
}

TEST(HfRopeTest, OriginalContextBesideTheParametersOrTheContextWindow) {
  constexpr char kWithout[] =
      R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4})";
  EXPECT_EQ(ReadWith("llama", {{"rope_scaling", kWithout}})->rope_scaling.original_context, 128);
  EXPECT_EQ(
      ReadWith("llama", {{"rope_scaling", kLlama3}, {"original_max_position_embeddings", "64"}})
          ->rope_scaling.original_context,
      64);
}

// The facts of a configuration that both generations of keys state.
std::string RopeAndWindows(const ModelConfig& model) {
  std::string text =
      absl::StrCat(model.window, " ", model.rotary_dim, " ", model.rope_theta, " ",
                   static_cast<int>(model.rope_scaling.kind), " ", model.rope_scaling.factor, " ",
                   model.windowed_rope ? model.windowed_rope->theta : 0, ":");
  for (const bool windowed : model.windowed) absl::StrAppend(&text, windowed ? "w" : "-");
  return text;
}

TEST(HfConfigTest, BothGenerationsOfKeysOfEachFamilyGiveTheSameFacts) {
  struct Pair {
    const char* type;
    Values v4, v5;
    const char* facts;
  };
  const Pair pairs[] = {
      {"gemma3_text",
       {{"sliding_window", "8"},
        {"sliding_window_pattern", "3"},
        {"rope_theta", "5000"},
        {"rope_local_base_freq", "70"},
        {"rope_scaling", R"({"rope_type": "linear", "factor": 8})"}},
       {{"sliding_window", "8"},
        {"layer_types", R"(["sliding_attention", "sliding_attention", "full_attention"])"},
        {"rope_parameters",
         R"({"full_attention": {"rope_type": "linear", "factor": 8, "rope_theta": 5000},
             "sliding_attention": {"rope_type": "default", "rope_theta": 70}})"}},
       "8 0 5000 1 8 70:ww-"},
      {"modernbert",
       {{"local_attention", "8"},
        {"global_attn_every_n_layers", "2"},
        {"global_rope_theta", "5000"},
        {"local_rope_theta", "70"}},
       {{"local_attention", "8"},
        {"layer_types", R"(["full_attention", "sliding_attention", "full_attention"])"},
        {"rope_parameters",
         R"({"full_attention": {"rope_theta": 5000}, "sliding_attention": {"rope_theta": 70}})"}},
       "5 0 5000 0 1 70:-w-"},
      {"gpt_neox",
       {{"rotary_pct", "0.5"}, {"rotary_emb_base", "5000"}},
       {{"rope_parameters", R"({"partial_rotary_factor": 0.5, "rope_theta": 5000})"}},
       "0 4 5000 0 1 0:"},
      {"qwen2",
       {{"use_sliding_window", "true"},
        {"sliding_window", "8"},
        {"max_window_layers", "1"},
        {"rope_theta", "5000"},
        {"rope_scaling", R"({"type": "yarn", "factor": 4})"}},
       {{"use_sliding_window", "true"},
        {"sliding_window", "8"},
        {"layer_types", R"(["full_attention", "sliding_attention", "sliding_attention"])"},
        {"rope_parameters", R"({"rope_type": "yarn", "factor": 4, "rope_theta": 5000})"}},
       "8 0 5000 4 4 0:-ww"},
  };
  for (const Pair& pair : pairs) {
    const auto v4 = ReadWith(pair.type, pair.v4), v5 = ReadWith(pair.type, pair.v5);
    ASSERT_THAT(v4, IsOk());
    ASSERT_THAT(v5, IsOk());
    EXPECT_EQ(RopeAndWindows(*v4), pair.facts) << pair.type;
    EXPECT_EQ(RopeAndWindows(*v5), pair.facts) << pair.type;
  }
}

TEST(HfConfigTest, BaseModelsOfEncodersHaveNoHead) {
  EXPECT_FALSE(ReadWith("bert", {{"architectures", "[\"BertModel\"]"}})->has_head);
  EXPECT_FALSE(ReadWith("roberta", {{"architectures", "[\"RobertaModel\"]"}})->has_head);
  for (const char* name : {"bert", "roberta", "xlm-roberta", "camembert", "distilbert", "albert",
                           "electra", "modernbert"}) {
    EXPECT_TRUE(ReadWith(name, {})->has_head) << name;
  }
  EXPECT_THAT(
      ReadWith("bert", {{"architectures", "[\"BertModel\"]"}, {"tie_word_embeddings", "false"}}),
      IsOk());
  EXPECT_FALSE(ReadWith("electra", {{"architectures", "[\"ElectraModel\"]"}})->has_head);
  EXPECT_TRUE(ReadWith("bert", {{"architectures", "[\"BertForMaskedLM\"]"}})->has_head);
  EXPECT_TRUE(ReadWith("llama", {{"architectures", "[\"LlamaModel\"]"}})->has_head);
}

TEST(HfRopeTest, DynamicScalingStretchesTheContextWindowByItsFactor) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto model = ReadWith("llama", {{key, R"({"rope_type": "dynamic", "factor": 4})"}});
    ASSERT_THAT(model, IsOk());
    EXPECT_EQ(model->rope_scaling.kind, RopeScaling::Kind::kDynamic);
    EXPECT_EQ(model->rope_scaling.factor, 4);
    EXPECT_EQ(model->rope_scaling.original_context, 128);
    EXPECT_EQ(model->context_window, 512);
    EXPECT_EQ(model->context_for(100), 512);
  }
}

constexpr char kFactors[] = R"("short_factor": [1, 1, 1.5, 2], "long_factor": [1, 2, 3, 4])";

TEST(HfRopeTest, LongRopeUnderAllItsNames) {
  for (const char* name : {"longrope", "su", "yarn"}) {
    const auto model = ReadWith(
        "phi3", {{"max_position_embeddings", "256"},
                 {"original_max_position_embeddings", "16"},
                 {"rope_scaling", absl::StrCat(R"({"type": ")", name, "\", ", kFactors, "}")}});
    ASSERT_THAT(model, IsOk());
    EXPECT_EQ(model->rope_scaling.kind, RopeScaling::Kind::kLongRope);
    EXPECT_THAT(model->rope_scaling.short_factors, ElementsAre(1, 1, 1.5, 2));
    EXPECT_THAT(model->rope_scaling.long_factors, ElementsAre(1, 2, 3, 4));
    EXPECT_EQ(model->rope_scaling.original_context, 16);
    // 256 is 16 times the original context.
    EXPECT_DOUBLE_EQ(model->rope_scaling.attention_factor, std::sqrt(2.0));
  }
}

TEST(HfRopeTest, LongRopeElsewhereAndWithFactors) {
  const auto model = ReadWith(
      "llama", {{"rope_parameters", absl::StrCat(R"({"rope_type": "longrope", "rope_theta": 50,
                                  "original_max_position_embeddings": 64, "factor": 1, )",
                                                 kFactors, "}")}});
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->rope_theta, 50);
  EXPECT_EQ(model->rope_scaling.attention_factor, 1);
  EXPECT_EQ(ReadWith("phi3", {{"rope_scaling", absl::StrCat(R"({"type": "su",
                                 "attention_factor": 1.25, )",
                                                            kFactors, "}")}})
                ->rope_scaling.attention_factor,
            1.25);
  EXPECT_EQ(ReadWith("phi3", {{"rope_scaling", absl::StrCat(R"({"type": "su", )", kFactors, "}")}})
                ->rope_scaling.original_context,
            4096);
}

// Keys of the short part cannot be kept in the long one.
TEST(HfRopeTest, ASequenceThatBeginsWithinTheOriginalContextEndsThere) {
  const auto model =
      ReadWith("phi3", {{"original_max_position_embeddings", "16"},
                        {"rope_scaling", absl::StrCat(R"({"type": "longrope", )", kFactors, "}")}});
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->context_window, 64);
  EXPECT_EQ(model->context_for(1), 17);
  EXPECT_EQ(model->context_for(16), 17);
  EXPECT_EQ(model->context_for(17), 64);
  EXPECT_EQ(ReadWith("phi3", {})->context_for(1), 64);
}

TEST(HfConfigTest, LayersWithoutPositions) {
  const auto listed = ReadWith("smollm3", {{"no_rope_layers", "[1, 0, 1, 0]"}});
  ASSERT_THAT(listed, IsOk());
  EXPECT_THAT(listed->unrotated, ElementsAre(false, true, false));
  EXPECT_EQ(listed->rope_theta, 2e6);
  EXPECT_THAT(listed->windowed, IsEmpty());
  EXPECT_THAT(ReadWith("smollm3", {{"no_rope_layer_interval", "2"}})->unrotated,
              ElementsAre(false, true, false));
  const auto windowed = ReadWith(
      "smollm3",
      {{"no_rope_layer_interval", "2"}, {"use_sliding_window", "true"}, {"sliding_window", "8"}});
  ASSERT_THAT(windowed, IsOk());
  EXPECT_THAT(windowed->windowed, ElementsAre(false, true, false));
  EXPECT_EQ(windowed->window, 8);
}

TEST(HfConfigTest, Gpt2ScoresDividedByTheLayersNumber) {
  const auto model = ReadWith("gpt2", {{"scale_attn_by_inverse_layer_idx", "true"}});
  ASSERT_THAT(model, IsOk());
  EXPECT_DOUBLE_EQ(model->scale_of(0), 1 / std::sqrt(8.0));
  EXPECT_DOUBLE_EQ(model->scale_of(2), 1 / std::sqrt(8.0) / 3);
}

TEST(HfConfigTest, BiasesOfPartOfAttention) {
  const auto model = ReadWith("stablelm", {{"use_qkv_bias", "true"}});
  ASSERT_THAT(model, IsOk());
  EXPECT_TRUE(model->qkv_bias);
  EXPECT_FALSE(model->attention_bias);
  EXPECT_EQ(model->rotary_dim, 2);
  EXPECT_FALSE(ReadWith("starcoder2", {{"use_bias", "false"}})->mlp_bias);
}

TEST(HfConfigTest, MptAttention) {
  const auto model = ReadWith("mpt", {{"max_seq_len", "77"},
                                      {"max_position_embeddings", ""},
                                      {"attn_config", R"({"softmax_scale": 0.5, "alibi": true,
                                        "clip_qkv": null, "attn_impl": "triton"})"}});
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->context_window, 77);
  EXPECT_EQ(model->attention_scale, 0.5);
  EXPECT_EQ(model->position, PositionKind::kAlibi);
  EXPECT_FALSE(model->norm_bias);
}

constexpr char kVisionModel[] = R"({
    "model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"],
    "eos_token_id": [1, 106], "vision_config": {"hidden_size": 7},
    "text_config": {"model_type": "gemma3_text", "num_hidden_layers": 2, "hidden_size": 64,
                    "head_dim": 16, "intermediate_size": 96, "sliding_window": 32,
                    "vocab_size": 300, "eos_token_id": 5, "bos_token_id": 6,
                    "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}})";

TEST(HfConfigTest, TheTextPartOfAModelThatAlsoSees) {
  const auto model = Read(kVisionModel);
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->architecture, "gemma3_text");
  EXPECT_EQ(model->n_layers, 2);
  EXPECT_EQ(model->n_heads, 8);
  EXPECT_EQ(model->n_kv_heads, 4);
  EXPECT_EQ(model->rope_scaling.factor, 8);
  EXPECT_TRUE(model->tied_embeddings);
  EXPECT_THAT(model->eos_ids, ElementsAre(1, 106));  // the outer ones
  EXPECT_THAT(model->bos_id, Optional(6));
  const auto generation = Read(kVisionModel, R"({"eos_token_id": 7})");
  ASSERT_THAT(generation, IsOk());
  EXPECT_THAT(generation->eos_ids, ElementsAre(7));
}

TEST(HfConfigTest, EosIsAnIntegerOrAList) {
  EXPECT_THAT(ReadWith("llama", {{"eos_token_id", "7"}})->eos_ids, ElementsAre(7));
  EXPECT_THAT(ReadWith("llama", {{"eos_token_id", "[7, 0, 299]"}})->eos_ids,
              ElementsAre(7, 0, 299));
  EXPECT_THAT(ReadWith("llama", {{"eos_token_id", "null"}})->eos_ids, IsEmpty());
  EXPECT_THAT(ReadWith("llama", {{"eos_token_id", "[]"}})->eos_ids, IsEmpty());
  EXPECT_THAT(ReadWith("llama", {{"bos_token_id", "null"}})->bos_id, Eq(std::nullopt));
}

TEST(HfConfigTest, GenerationConfigHasPrecedence) {
  const auto model = ReadWith("llama", {{"eos_token_id", "7"}, {"bos_token_id", "8"}},
                              R"({"eos_token_id": [9, 10], "bos_token_id": 11})");
  ASSERT_THAT(model, IsOk());
  EXPECT_THAT(model->eos_ids, ElementsAre(9, 10));
  EXPECT_THAT(model->bos_id, Optional(11));
  const auto silent = ReadWith("llama", {{"eos_token_id", "7"}, {"bos_token_id", "8"}},
                               R"({"eos_token_id": null})");
  ASSERT_THAT(silent, IsOk());
  EXPECT_THAT(silent->eos_ids, ElementsAre(7));
  EXPECT_THAT(silent->bos_id, Optional(8));
}

TEST(HfConfigTest, DefaultIdsOutsideTheVocabularyAreNone) {
  const auto model = ReadWith("gpt2", {});
  ASSERT_THAT(model, IsOk());
  EXPECT_THAT(model->eos_ids, IsEmpty());
  EXPECT_EQ(model->bos_id, std::nullopt);
}

TEST(HfConfigTest, GenerationConfigIsChecked) {
  EXPECT_THAT(ReadWith("llama", {}, R"({"eos_token_id": 300})"),
              IsError(kInvalid, "generation_config.json: eos_token_id is 300; it must be"));
  EXPECT_THAT(ReadWith("llama", {}, R"({"eos_token_id": [1, "x"]})"),
              IsError(kInvalid, "generation_config.json: eos_token_id[1] is \"x\"; it must be"));
  EXPECT_THAT(ReadWith("llama", {}, "[]"),
              IsError(kInvalid, "generation_config.json is []; it must be an object"));
}

}  // namespace
}  // namespace heed
