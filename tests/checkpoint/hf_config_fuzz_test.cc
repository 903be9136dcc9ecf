// config.json files of every family with a hundred thousand random changes: each is refused with a
// reason, or understood with every fact in its range.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "model/base/utf8.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/size_limits.h"
#include "tests/base/fuzzing.h"
#include "tests/checkpoint/allocation_peak.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/config_values.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

constexpr int kRuns = 100'000;

// What reading takes whatever the text's size: the list of layers of a model with as many as are
// allowed, and messages that list what is known.
constexpr int64_t kFixedBytes = 32 << 10;

// The configurations of all golden models, by path.
std::vector<std::string> GoldenConfigs() {
  std::vector<std::string> paths;
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/models"))) {
    paths.push_back((entry.path() / "config.json").string());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> texts;
  for (const std::string& path : paths) texts.push_back(ReadTestFile(path));
  return texts;
}

bool IsPositive(double value) {
  return std::isfinite(value) && value > 0;
}

// All that ModelConfig promises.
void ExpectValid(const ModelConfig& config, const std::string& text) {
  SCOPED_TRACE(text);
  ASSERT_GE(config.n_layers, 1);
  ASSERT_GE(config.n_layer_groups, 0);
  ASSERT_GE(config.n_kv_heads, 1);
  ASSERT_GE(config.head_dim, 1);
  ASSERT_EQ(config.n_heads % config.n_kv_heads, 0);
  ASSERT_GE(config.rotary_dim, 0);
  ASSERT_LE(config.rotary_dim, config.head_dim);
  ASSERT_EQ(config.rotary_dim % 2, 0);
  for (const int64_t size : {config.width, config.vocab_size, config.context_window}) {
    ASSERT_GE(size, 1);
    ASSERT_LE(size, int64_t{1} << 31);
  }
  ASSERT_GE(config.ffn_width, config.architecture == "heed_mixing" ? 0 : 1);
  ASSERT_LE(config.query_width(), kWidthRange.max);
  ASSERT_GE(config.embedding_width, 0);
  ASSERT_GE(config.position_offset, 0);
  ASSERT_GE(config.token_types, 0);
  ASSERT_TRUE(IsPositive(config.norm_eps));
  ASSERT_TRUE(IsPositive(config.rope_theta));
  ASSERT_TRUE(IsPositive(config.rope_scaling.factor));
  ASSERT_TRUE(IsPositive(config.attention_scale));
  ASSERT_TRUE(IsPositive(config.embedding_scale));
  ASSERT_GE(config.attention_soft_cap, 0);
  ASSERT_GE(config.logit_soft_cap, 0);
  ASSERT_TRUE(config.windowed.empty() ||
              config.windowed.size() == static_cast<size_t>(config.n_layers));
  for (const bool is_windowed : config.windowed) ASSERT_TRUE(!is_windowed || config.window > 0);
  for (const int32_t id : config.eos_ids) ASSERT_TRUE(0 <= id && id < config.vocab_size);
  ASSERT_TRUE(!config.bos_id || (0 <= *config.bos_id && *config.bos_id < config.vocab_size));
}

TEST(HfConfigFuzzTest, AHundredThousandRandomChangesAreRefusedOrUnderstood) {
  const std::vector<std::string> seeds = GoldenConfigs();
  ASSERT_GE(seeds.size(), 30);
  for (const std::string& seed : seeds) ASSERT_THAT(Read(seed), IsOk()) << seed;
  const std::vector<std::string> words = {"null",
                                          "true",
                                          "false",
                                          "0",
                                          "-1",
                                          "1",
                                          "3",
                                          "0.5",
                                          "1e-9",
                                          "1e999",
                                          "2147483648",
                                          "\"\"",
                                          "[]",
                                          "{}",
                                          ",",
                                          "\"rope_scaling\":",
                                          "\"rope_type\":",
                                          "\"yarn\"",
                                          "\"factor\":",
                                          "\"layer_types\":",
                                          "\"sliding_attention\"",
                                          "\"head_dim\":",
                                          "\\u0000",
                                          "\xff",
                                          "}",
                                          "{",
                                          "\"eos_token_id\":",
                                          "[1,2]",
                                          "\"hidden_act\":",
                                          "\"relu\"",
                                          "9223372036854775807"};
  FuzzRandom random;
  int loaded = 0;
  for (int run = 0; run < kRuns; ++run) {
    const std::string text = DamagedSeed(seeds, words, &random);
    const std::string generation =
        random(4) == 0
            ? DamagedSeed({R"({"eos_token_id": [1, 2], "bos_token_id": 1})"}, words, &random)
            : "";
    const AllocationPeak peak;
    const auto config = Read(text, generation);
    ASSERT_LE(peak.bytes(), 2 * static_cast<int64_t>(text.size()) + kFixedBytes) << text;
    if (!config.ok()) {
      const std::string reason = GetErrorDetails(config.status()).reason;
      ASSERT_TRUE(reason == "CHECKPOINT_INVALID" || reason == "CHECKPOINT_UNSUPPORTED")
          << config.status() << "\nof " << text;
      ASSERT_TRUE(IsValidUtf8(config.status().message())) << text;
      continue;
    }
    ++loaded;
    ExpectValid(*config, text);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(loaded, kRuns / 50);
  EXPECT_LT(loaded, kRuns / 2);
}

TEST(HfConfigFuzzTest, ConfigMustBeAnObject) {
  EXPECT_THAT(Read("[]"), IsError(kInvalid, "config.json is []; it must be an object"));
  EXPECT_THAT(Read("null"), IsError(kInvalid, "config.json is null; it must be an object"));
}

// Every value of every key replaced by every kind of nonsense: refused or understood, never a
// crash.
TEST(HfConfigFuzzTest, NonsenseInAnyKeyNeverCrashes) {
  const std::vector<std::string> nonsense = {"null",
                                             "true",
                                             "0",
                                             "-1",
                                             "1",
                                             "2",
                                             "3",
                                             "2147483647",
                                             "2147483648",
                                             "4294967295",
                                             "9223372036854775807",
                                             "18446744073709551615",
                                             "0.5",
                                             "-0.0",
                                             "1e308",
                                             "\"\"",
                                             "\"x\"",
                                             "[]",
                                             "[[]]",
                                             "{}",
                                             R"({"a": {"b": []}})",
                                             "[1, null]"};
  for (const char* type :
       {"gpt2",       "llama",    "bert",        "heed_mixing", "mistral",    "qwen2",   "qwen3",
        "gemma",      "gemma2",   "gemma3_text", "gpt_neo",     "gpt_neox",   "phi",     "opt",
        "bloom",      "roberta",  "distilbert",  "albert",      "modernbert", "smollm3", "phi3",
        "starcoder2", "stablelm", "mpt",         "camembert",   "electra",    "gemma3"}) {
    Values keys = BaseOf(type);
    for (const char* key : {"architectures",
                            "head_dim",
                            "n_inner",
                            "rope_theta",
                            "rope_scaling",
                            "rope_parameters",
                            "layer_norm_eps",
                            "rms_norm_eps",
                            "layer_norm_epsilon",
                            "hidden_act",
                            "type_vocab_size",
                            "activation_function",
                            "eos_token_id",
                            "bos_token_id",
                            "pruned_heads",
                            "is_decoder",
                            "quantization_config",
                            "tie_word_embeddings",
                            "attention_bias",
                            "partial_rotary_factor",
                            "sliding_window",
                            "layer_types",
                            "attention_types",
                            "rotary_pct",
                            "embedding_size",
                            "num_hidden_groups",
                            "local_attention",
                            "pad_token_id",
                            "no_rope_layers",
                            "no_rope_layer_interval",
                            "attn_config",
                            "text_config",
                            "word_embed_proj_dim"}) {
      keys[key];
    }
    for (const auto& [key, unused] : keys) {
      for (const std::string& value : nonsense) {
        const auto model = ReadWith(type, {{key, value}});
        if (!model.ok()) continue;
        EXPECT_GE(model->head_dim, 1);
        EXPECT_EQ(model->n_heads % model->n_kv_heads, 0);
        EXPECT_GT(model->attention_scale, 0);
        EXPECT_GT(model->norm_eps, 0);
      }
    }
  }
}

}  // namespace
}  // namespace heed
