// What each verb prints, against the server of canned answers.
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "client/cli/verbs/generate_output.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/json_check.h"

namespace heed::cli {
namespace {

using testing::At;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kText[] = "the keys to the cabinet";
constexpr Terminal kTerminal{.is_terminal = true, .width = 100};

class CliTest : public CliFixture {};

TEST_F(CliTest, ModelsIsATable) {
  EXPECT_EQ(Run({"models"}),
            "model    architecture  looks   parameters  layers  heads  context  weights  cache  "
            "digest\n"
            "decoder  llama         causal   1,234,567       2      2      256  F32      F16    "
            "sha256:0123456789ab\n");
}

TEST_F(CliTest, DescribeShowsTheFacts) {
  const std::string out = Run({"describe"});
  EXPECT_THAT(out, StartsWith("name            decoder\narchitecture    llama\n"));
  EXPECT_THAT(out, HasSubstr("heads a layer   2 of 64 dimensions, sharing 1 key-value head\n"));
  EXPECT_THAT(out,
              HasSubstr("mixing          attention: weights computed from queries and keys\n"));
  EXPECT_THAT(out, HasSubstr("feed-forward 512\n"));
  EXPECT_THAT(out, HasSubstr("KV cache        as F16\n"));
  EXPECT_THAT(out, HasSubstr("weights         4.7 MiB as F32, stored as BF16\n"));
  EXPECT_THAT(out, HasSubstr("can             predict, generate, attention, embed\n"));
}

TEST_F(CliTest, DescribeShowsMaskAndMixing) {
  server_.script.causal = false;
  server_.script.mixing = v1::MIXING_PATTERN_WEIGHTED;
  const std::string out = Run({"describe"});
  EXPECT_THAT(out, HasSubstr("mask            [MASK], token id 4\n"));
  EXPECT_THAT(out, HasSubstr("mixing          weighted: one learned score for each word\n"));
  const auto json = RunJson({"describe"});
  EXPECT_EQ(At(json, "tokenizer.mask_text").string_value(), "[MASK]");
  EXPECT_EQ(At(json, "mixing").string_value(), "weighted");
}

TEST_F(CliTest, TokenizeShowsTokensAsPeopleReadThem) {
  EXPECT_EQ(Run({"tokenize", "the keys"}),
            "position   id  token  piece  bytes\n"
            "       0  100  the    the      0-3\n"
            "       1  101  ·keys  Ġkeys    3-8\n");
}

TEST_F(CliTest, TokenizeReadsStandardInputWithoutItsLastLineEnd) {
  Run({"tokenize", "-"}, {.in = "the\nkeys\n"});
  EXPECT_EQ(server_.last_tokenize.text(), "the\nkeys");
  Run({"tokenize", "-", "--no-special", "--literal"}, {.in = "the\r\n"});
  EXPECT_EQ(server_.last_tokenize.text(), "the");
  EXPECT_FALSE(server_.last_tokenize.add_special_tokens());
  EXPECT_FALSE(server_.last_tokenize.parse_special_tokens());
  EXPECT_TRUE(server_.last_tokenize.has_parse_special_tokens());
}

TEST_F(CliTest, DetokenizeShowsTheText) {
  EXPECT_EQ(Run({"detokenize", "100,101 102"}), "the keys to\n");
}

TEST_F(CliTest, PredictIsATable) {
  EXPECT_EQ(Run({"predict", kText}),
            "rank  token         probability\n"
            "   1  ·were               0.412\n"
            "   2  ·are                0.287\n"
            "   3  ·was                0.061\n"
            "   4  ·is               1.0e-04\n"
            "      (all others)        0.240\n"
            "entropy 1.46 nats · decoder sha256:0123456789ab · 3.4 ms\n");
}

TEST_F(CliTest, PredictHasBarsOnATerminal) {
  const std::string out = Run({"predict", kText, "--top=2"}, {.terminal = kTerminal});
  EXPECT_THAT(out, HasSubstr("0.412  \033[36m████████████████▌\033[0m\n"));
  const std::string plain =
      Run({"predict", kText, "--top=2", "--color=never"}, {.terminal = kTerminal});
  EXPECT_THAT(plain, HasSubstr("0.412  ████████████████▌\n"));
}

TEST_F(CliTest, PredictCandidatesComeInTheOrderGiven) {
  EXPECT_EQ(Run({"predict", kText, "--candidates=were,was"}),
            "rank  token  probability\n"
            "   1  ·were        0.400\n"
            "   2  ·was         0.200\n"
            "entropy 1.46 nats · decoder sha256:0123456789ab · 3.4 ms\n"
            "read as ·were, ·was, words after a space; without it: --candidate-ids=904,903\n");
}

TEST_F(CliTest, PredictAtSeveralPositionsHasABlockEach) {
  const std::string out = Run({"predict", kText, "--position=1,-1", "--top=1"});
  EXPECT_EQ(out,
            "position 1 ·keys\n"
            "rank  token         probability\n"
            "   1  ·were               0.412\n"
            "      (all others)        0.588\n"
            "the text really has ·to 0.250, rank 2\n"
            "entropy 1.46 nats\n\n"
            "position 4 ·cabinet\n"
            "rank  token         probability\n"
            "   1  ·were               0.412\n"
            "      (all others)        0.588\n"
            "entropy 1.46 nats\n\n"
            "decoder sha256:0123456789ab · 3.4 ms\n");
}

TEST_F(CliTest, PredictAllScoresWhatReallyComesNext) {
  EXPECT_EQ(Run({"predict", "the keys to", "--all"}),
            "position  token  actual  probability  rank    entropy  predicted\n"
            "       0  the    ·keys         0.250     2  1.46 nats  ·were 0.412  ·are 0.287  "
            "·was 0.061\n"
            "       1  ·keys  ·to           0.250     2  1.46 nats  ·were 0.412  ·are 0.287  "
            "·was 0.061\n"
            "       2  ·to                               1.46 nats  ·were 0.412  ·are 0.287  "
            "·was 0.061\n"
            "perplexity 4.00 over 2 tokens (mean log-probability -1.386 nats)\n"
            "decoder sha256:0123456789ab · 3.4 ms\n");
}

TEST_F(CliTest, PredictTakesIdsAndTruncation) {
  Run({"--model=m", "predict", "--ids=100,101", "--ids=102", "--truncate", "left"});
  EXPECT_EQ(server_.last_predict.model(), "m");
  EXPECT_THAT(server_.last_predict.prompt().tokens().ids(), ElementsAre(100, 101, 102));
  EXPECT_EQ(server_.last_predict.prompt().truncation(), v1::TRUNCATION_LEFT);
}

TEST_F(CliTest, PredictSaysWhatTruncationDropped) {
  server_.script.edit_predict = [](v1::PredictResponse& response) {
    response.mutable_prompt()->set_dropped_token_count(1055);
    response.mutable_prompt()->set_truncation(v1::TRUNCATION_LEFT);
  };
  EXPECT_THAT(Run({"predict", kText}), HasSubstr("· the first 1,055 tokens were dropped\n"));
}

TEST_F(CliTest, PredictSaysWhatNeededNoComputing) {
  server_.script.edit_predict = [](v1::PredictResponse& response) {
    response.mutable_timings()->set_cached_token_count(3);
  };
  EXPECT_THAT(Run({"predict", kText}), HasSubstr("3.4 ms (3 tokens cached)"));
  const auto json = RunJson({"predict", kText});
  EXPECT_EQ(At(json, "timings_ms.cached_token_count").number_value(), 3);
}

TEST_F(CliTest, TimingsSayWhatCameFromDrafts) {
  server_.script.edit_predict = [](v1::PredictResponse& response) {
    response.mutable_timings()->set_draft_token_count(1200);
    response.mutable_timings()->set_accepted_token_count(1100);
  };
  EXPECT_THAT(Run({"predict", kText}), HasSubstr("3.4 ms (1,100 of 1,200 drafts accepted)"));
  const auto json = RunJson({"predict", kText});
  EXPECT_EQ(At(json, "timings_ms.draft_token_count").number_value(), 1200);
  EXPECT_EQ(At(json, "timings_ms.accepted_token_count").number_value(), 1100);
}

TEST_F(CliTest, GenerateWritesOnlyTheAnswerToAPipe) {
  EXPECT_EQ(Run({"generate", kText, "--seed=5"}), " were on the table\n");
  EXPECT_THAT(result_.err, HasSubstr("heed: seed 5\n"));
  EXPECT_THAT(result_.err, HasSubstr("heed: 4 tokens, stopped at the limit of tokens (length), "));
  EXPECT_THAT(result_.err, HasSubstr(", 1290 tokens/s, 3.4 ms, decoder sha256:0123456789ab\n"));
}

TEST_F(CliTest, GenerateShowsThePromptOnATerminal) {
  EXPECT_EQ(Run({"generate", kText}, {.terminal = kTerminal}),
            "\033[2mthe keys to the cabinet\033[0m were on the table\n");
}

TEST_F(CliTest, GeneratedControlCharactersReachPipesOnly) {
  server_.script.answer = {"\033[2J"};
  EXPECT_EQ(Run({"generate", "the"}), "\033[2J\n");
  EXPECT_THAT(Run({"generate", "the"}, {.terminal = kTerminal}), HasSubstr("<1B>[2J\n"));
}

// As a model without a tokenizer answers.
TEST_F(CliTest, GenerateWritesTheIdsOfTokensWithoutText) {
  const auto leave_the_id = [](v1::Token& token) {
    const int32_t id = token.id();
    token.Clear();
    token.set_id(id);
  };
  server_.script.edit_generate = [&](v1::GenerateResponse& message) {
    if (message.has_start()) {
      for (v1::Token& token : *message.mutable_start()->mutable_prompt()->mutable_tokens()) {
        leave_the_id(token);
      }
    }
    if (message.has_token()) {
      leave_the_id(*message.mutable_token()->mutable_token());
      message.mutable_token()->clear_text_delta();
    }
    return true;
  };
  server_.script.answer = {" were", " on"};
  EXPECT_EQ(Run({"generate", "--ids=5,6,7"}), "#105 #109\n");
  EXPECT_EQ(Run({"generate", "--ids=5,6,7"}, {.terminal = kTerminal}),
            "\033[2m#5 #6 #7\033[0m #105 #109\n");
}

TEST_F(CliTest, GenerateSendsEveryOption) {
  Run({"generate", "the", "--max-tokens=9", "--temperature=0.5", "--top-k=3", "--top-p=0.9",
       "--min-p=0.1", "--repetition-penalty=1.1", "--presence-penalty=0.2",
       "--frequency-penalty=0.3", "--seed=7", "--logit-bias=5=-inf", "--logit-bias=6=1.5",
       "--stop=.", "--stop=!", "--stop-id=1,2", "--ignore-end-of-text"});
  const v1::GenerateRequest& wire = server_.last_generate;
  EXPECT_EQ(wire.stopping().max_tokens(), 9);
  EXPECT_FLOAT_EQ(wire.sampling().temperature(), 0.5F);
  EXPECT_EQ(wire.sampling().top_k(), 3);
  EXPECT_FLOAT_EQ(wire.sampling().top_p(), 0.9F);
  EXPECT_FLOAT_EQ(wire.sampling().min_p(), 0.1F);
  EXPECT_FLOAT_EQ(wire.sampling().repetition_penalty(), 1.1F);
  EXPECT_FLOAT_EQ(wire.sampling().presence_penalty(), 0.2F);
  EXPECT_FLOAT_EQ(wire.sampling().frequency_penalty(), 0.3F);
  EXPECT_EQ(wire.sampling().seed(), 7);
  EXPECT_TRUE(std::isinf(wire.sampling().logit_bias().at(5)));
  EXPECT_FLOAT_EQ(wire.sampling().logit_bias().at(6), 1.5F);
  EXPECT_THAT(wire.stopping().stop_texts(), ElementsAre(".", "!"));
  EXPECT_THAT(wire.stopping().stop_ids(), ElementsAre(1, 2));
  EXPECT_TRUE(wire.stopping().ignore_end_of_text());
}

TEST_F(CliTest, GenerateLogprobsIsOneLineAToken) {
  server_.script.answer = {" were"};
  EXPECT_EQ(
      Run({"generate", kText, "--logprobs", "--top=2"}),
      "    5  ·were               0.500  rank 1      1.46 nats  of  ·were 0.500  ·are 0.250\n");
}

TEST_F(CliTest, GenerateAttentionNamesTheStrongestKeys) {
  server_.script.answer = {" were"};
  EXPECT_EQ(Run({"generate", kText, "--attention", "--layer=1", "--head=0"}),
            "    5  ·were               0.500  from  ·keys .80 (1, layer 1 head 0)  ·to .05 (2, "
            "layer 1 head 0)  ·the .05 (3, layer 1 head 0)\n");
  EXPECT_THAT(server_.last_generate.attention().layers(), ElementsAre(1));
}

TEST(StrongestKeysTest, LeavesOutTheFirstTheOwnAndThoseWithoutWeight) {
  AttentionTile tile{.layer = 1, .head = 2, .queries = {3, 4}};
  tile.top_k = 4;
  tile.keys = {3, 2, 1, 0, 4, 0, 2, 1};
  tile.weights = {.7f, .1f, .1f, .1f, .5f, .3f, .2f, 0};
  const std::vector<StrongKey> keys = StrongestKeys({tile}, 3);
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_EQ(keys[0].key, 2);
  EXPECT_EQ(keys[0].weight, .2f);
  EXPECT_EQ(keys[0].layer, 1);
  EXPECT_EQ(keys[0].head, 2);
}

TEST_F(CliTest, AttentionShowsAllHeadsThenTheOneThatSaysMost) {
  EXPECT_EQ(Run({"attention", kText}),
            "What ·cabinet (position 4) reads from, in every head:\n"
            "layer  head  strongest                                 entropy\n"
            "    0     0  ·the       .75  the    .06  ·keys  .06  0.91 nats\n"
            "    0     1  the        .83  ·keys  .04  ·to    .04  0.68 nats\n"
            "    1     0  ·keys      .80  the    .05  ·to    .05  0.78 nats  ← below\n"
            "    1     1  ·cabinet   .33  ·the   .27  ·to    .20  1.49 nats\n"
            "\n"
            "Layer 1 head 0, shown because its last row puts .80 on ·keys; no head gives "
            "clearly more to a token past its neighbour and the first:\n"
            "               0     1    2    3        4\n"
            "             the ·keys  ·to ·the ·cabinet\n"
            "0 the       *1.0     ·    ·    ·        ·\n"
            "1 ·keys     ░.06 █*.94    ·    ·        ·\n"
            "2 ·to       ░.06 █*.89 ░.06    ·        ·\n"
            "3 ·the      ░.05 █*.84 ░.05 ░.05        ·\n"
            "4 ·cabinet  ░.05 █*.80 ░.05 ░.05 ░░░░░.05  ← predicts the next word\n"
            "\n"
            "   0 ░.05 ▒.10 ▓.25 █.50 █.75 █1.0  weights after softmax; each row sums to 1; * "
            "strongest\n"
            "decoder sha256:0123456789ab · 5 tokens · 3.4 ms\n");
}

TEST_F(CliTest, AttentionOfOneHeadIsItsMapAlone) {
  const std::string out = Run({"attention", kText, "--layer=0", "--head=1", "--query=-1"});
  EXPECT_THAT(out, StartsWith("Layer 0 head 1:\n"));
  EXPECT_THAT(out, HasSubstr("4 ·cabinet  *.83"));
  EXPECT_THAT(server_.last_attention.selection().queries(), ElementsAre(-1));
}

TEST_F(CliTest, AttentionTopKIsOneLineARow) {
  EXPECT_EQ(Run({"attention", kText, "--layer=0", "--head=0", "--query=0,4", "--top-k=2"}),
            "layer  head  query       strongest keys         rest\n"
            "    0     0  0 the       0 the 1.0                 0\n"
            "    0     0  4 ·cabinet  3 ·the .75  0 the .06   .19\n"
            "decoder sha256:0123456789ab · 5 tokens · 3.4 ms\n");
}

TEST_F(CliTest, ManyHeadsAreCutToTheMostDecided) {
  server_.script.layers = 10;
  server_.script.heads = 10;
  const std::string out = Run({"attention", kText});
  EXPECT_THAT(out, HasSubstr("64 less decided heads left out; --json has them all.\n"));
}

TEST_F(CliTest, HealthListsEveryService) {
  EXPECT_EQ(Run({"health"}),
            "service                    status\n"
            "(whole server)             SERVING\n"
            "heed.v1.ModelService       SERVING\n"
            "heed.v1.PredictionService  SERVING\n"
            "heed.v1.InspectionService  SERVING\n"
            "heed.v1.ExperimentService  SERVING\n"
            "heed.v1.EmbeddingService   SERVING\n");
}

TEST_F(CliTest, VersionNeedsNoServer) {
  server_.Shutdown();
  EXPECT_THAT(Run({"version"}), StartsWith("heed 0.1.0 (gRPC 1."));
  EXPECT_THAT(Run({"--version"}), StartsWith("heed "));
}

TEST_F(CliTest, JsonOfEveryVerbParses) {
  EXPECT_EQ(At(RunJson({"models"}), "models.0.identity.name").string_value(), "decoder");
  EXPECT_EQ(At(RunJson({"describe"}), "tokenizer.vocabulary_size").number_value(), 998);
  EXPECT_EQ(At(RunJson({"describe"}), "mixing").string_value(), "attention");
  EXPECT_EQ(At(RunJson({"models"}), "models.0.kv_cache_dtype").string_value(), "F16");
  EXPECT_EQ(At(RunJson({"tokenize", kText}), "tokens.1.bytes_base64").string_value(), "IGtleXM=");
  EXPECT_EQ(At(RunJson({"detokenize", "101"}), "text").string_value(), " keys");
  EXPECT_EQ(At(RunJson({"health"}), "services.0.status").string_value(), "SERVING");
  EXPECT_EQ(At(RunJson({"version"}), "heed").string_value(), "0.1.0");
}

TEST_F(CliTest, JsonOfPredictHasEveryNumber) {
  const auto json = RunJson({"predict", "the keys", "--all"});
  EXPECT_EQ(At(json, "model.name").string_value(), "decoder");
  EXPECT_EQ(At(json, "prompt.tokens.1.text").string_value(), " keys");
  EXPECT_EQ(At(json, "prompt.truncation").string_value(), "none");
  EXPECT_EQ(At(json, "predictions.0.candidates.0.token.id").number_value(), 105);
  EXPECT_EQ(At(json, "predictions.0.candidates.0.probability").number_value(), 0.412);
  EXPECT_EQ(At(json, "predictions.0.entropy_nats").number_value(), 1.4556);
  EXPECT_EQ(At(json, "predictions.0.actual.rank").number_value(), 2);
  EXPECT_TRUE(At(json, "predictions.1").struct_value().fields().at("actual").has_null_value());
  EXPECT_EQ(At(json, "timings_ms.compute").number_value(), 3.1);
}

TEST_F(CliTest, JsonOfAttentionHasEveryRow) {
  const auto dense = RunJson({"attention", kText});
  EXPECT_EQ(At(dense, "rows").list_value().values_size(), 2 * 2 * 5);
  EXPECT_EQ(At(dense, "rows.19.layer").number_value(), 1);
  EXPECT_EQ(At(dense, "rows.19.query").number_value(), 4);
  EXPECT_NEAR(At(dense, "rows.19.weights.4").number_value(), 5.0 / 15, 1e-6);
  EXPECT_TRUE(At(dense, "causal").bool_value());
  const auto top = RunJson({"attention", kText, "--top-k=1", "--layer=0", "--head=0"});
  EXPECT_EQ(At(top, "rows.4.keys.0").number_value(), 3);
  EXPECT_NEAR(At(top, "rows.4.dropped_mass").number_value(), 0.25, 1e-6);
}

TEST_F(CliTest, JsonOfGenerateIsOneEventALine) {
  const std::string out = Run({"generate", kText, "--json", "--attention", "--logprobs"});
  std::vector<std::string> events;
  for (absl::string_view line : absl::StrSplit(out, '\n', absl::SkipEmpty())) {
    bool ok = false;
    const auto json = testing::ParseJson(std::string(line), &ok);
    ASSERT_TRUE(ok) << line;
    events.push_back(At(json, "event").string_value());
    if (events.back() == "token") {
      EXPECT_EQ(At(json, "attention").list_value().values_size(), 4);
      EXPECT_EQ(At(json, "alternatives").list_value().values_size(), 3);
    }
  }
  EXPECT_THAT(events, ElementsAre("start", "token", "token", "token", "token", "end"));
}

TEST_F(CliTest, HelpShowsAnExampleForEachVerb) {
  EXPECT_THAT(Run({"--help"}), HasSubstr("Verbs:\n  models"));
  EXPECT_EQ(Run({"help"}), Run({"--help"}));
  for (const char* verb :
       {"models",    "describe",  "tokenize",    "detokenize", "predict",   "generate",
        "attention", "stats",     "detect",      "lens",       "attribute", "explain",
        "rollout",   "decompose", "activations", "intervene",  "sweep",     "compare",
        "traces",    "ladder",    "embed",       "health",     "version"}) {
    const std::string help = Run({verb, "--help"});
    EXPECT_THAT(help, HasSubstr(std::string("\nExample:\n  heed ") + verb)) << verb;
    EXPECT_THAT(help, HasSubstr("--server=HOST:PORT")) << verb;
    EXPECT_EQ(help, Run({"help", verb}));
    for (absl::string_view line : absl::StrSplit(help, '\n')) EXPECT_LE(DisplayWidth(line), 100);
  }
}

TEST_F(CliTest, ExamplesOfTheHelpWork) {
  Run({"predict", kText, "--candidates= were, was"});
  Run({"generate", kText, "--max-tokens=30", "--temperature=0.8", "--seed=1"});
  Run({"detokenize", "100,101,102"});
  Run({"health", "--deadline=10s"});
}

TEST_F(CliTest, TablesFitTheTerminal) {
  for (int width : {60, 80, 100}) {
    for (const char* verb : {"predict", "attention"}) {
      Run({verb, kText, "--color=never"}, {.terminal = {.is_terminal = true, .width = width}});
      for (absl::string_view line : absl::StrSplit(result_.out, '\n')) {
        EXPECT_LE(DisplayWidth(line), width) << line;
      }
    }
  }
}

TEST_F(CliTest, BarsTakeTheRoomThatIsLeft) {
  const auto bar_columns = [&](int width) {
    Run({"predict", kText, "--color=never"}, {.terminal = {.is_terminal = true, .width = width}});
    const std::vector<std::string> lines = absl::StrSplit(result_.out, '\n');
    return DisplayWidth(lines[1]) - DisplayWidth("   1  ·were               0.412  ");
  };
  EXPECT_EQ(bar_columns(120), 17);  // of 40, in eighths
  EXPECT_EQ(bar_columns(53), 9);    // of 20
  EXPECT_LT(bar_columns(36), 0);    // none of 3
}

// The server of canned answers has none to the calls themselves.
TEST_F(CliTest, AnEstimateOfEveryPositionMakesNoCall) {
  for (const char* verb : {"lens", "rollout"}) {
    EXPECT_THAT(Run({verb, kText, "--all", "--estimate"}), HasSubstr("12,345")) << verb;
  }
  for (const char* verb : {"predict", "generate"}) {
    EXPECT_THAT(Run({verb, kText, "--estimate"}), HasSubstr("12,345")) << verb;
  }
}

}  // namespace
}  // namespace heed::cli
