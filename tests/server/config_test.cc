#include "server/config.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/unknown_variables.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<CommandLine> Parse(const std::vector<std::string>& args,
                                  const std::map<std::string, std::string>& environment = {}) {
  return ParseCommandLine(args, [&](const std::string& name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    if (found == environment.end()) return std::nullopt;
    return found->second;
  });
}

ServerConfig ParseOk(const std::vector<std::string>& args,
                     const std::map<std::string, std::string>& environment = {}) {
  const auto line = Parse(args, environment);
  EXPECT_TRUE(line.ok()) << line.status();
  return line.ok() ? line->config : ServerConfig();
}

std::string ParseError(const std::vector<std::string>& args,
                       const std::map<std::string, std::string>& environment = {}) {
  const auto line = Parse(args, environment);
  EXPECT_FALSE(line.ok());
  return std::string(line.status().message());
}

TEST(ConfigTest, DefaultsAreThoseOfTheStruct) {
  const ServerConfig config = ParseOk({});
  EXPECT_EQ(config.listen, "127.0.0.1:50051");
  EXPECT_TRUE(config.models.empty());
  EXPECT_EQ(config.max_prompt_bytes, 1 << 20);
  EXPECT_EQ(config.drain_timeout, absl::Seconds(10));
}

TEST(ConfigTest, EveryFlagIsReadInBothSpellingsAndFromTheEnvironment) {
  const struct {
    const char* name;
    const char* variable;
    const char* value;
    bool (*holds)(const ServerConfig&);
  } cases[] = {
      {"listen", "HEED_LISTEN", "[::]:0", [](auto& c) { return c.listen == "[::]:0"; }},
      {"port-file", "HEED_PORT_FILE", "/x", [](auto& c) { return c.port_file == "/x"; }},
      {"model", "HEED_MODEL", "m=/f",
       [](auto& c) {
         return c.models == std::vector<ModelSource>{{"m", "/f"}};
       }},
      {"models-dir", "HEED_MODELS_DIR", "/d", [](auto& c) { return c.models_dir == "/d"; }},
      {"weights", "HEED_WEIGHTS", "int8",
       [](auto& c) { return c.weights_of("any") == WeightFormat::kInt8; }},
      {"pack-cache", "HEED_PACK_CACHE", "/c", [](auto& c) { return c.pack_cache == "/c"; }},
      {"threads", "HEED_THREADS", "3", [](auto& c) { return c.threads == 3; }},
      {"isa", "HEED_ISA", "avx2", [](auto& c) { return c.isa == "avx2"; }},
      {"kv-cache-mib", "HEED_KV_CACHE_MIB", "7", [](auto& c) { return c.kv_cache_mib == 7; }},
      {"kv-cache-type", "HEED_KV_CACHE_TYPE", "f16",
       [](auto& c) { return c.kv_type_of("any") == KvType::kF16; }},
      {"max-prompt-bytes", "HEED_MAX_PROMPT_BYTES", "2MiB",
       [](auto& c) { return c.max_prompt_bytes == 2 << 20; }},
      {"max-attention-bytes", "HEED_MAX_ATTENTION_BYTES", "5",
       [](auto& c) { return c.max_attention_bytes == 5; }},
      {"max-queued", "HEED_MAX_QUEUED", "1", [](auto& c) { return c.max_queued == 1; }},
      {"max-batch-sequences", "HEED_MAX_BATCH_SEQUENCES", "2",
       [](auto& c) { return c.max_batch_sequences == 2; }},
      {"max-step-tokens", "HEED_MAX_STEP_TOKENS", "9",
       [](auto& c) { return c.max_step_tokens == 9; }},
      {"prefill-chunk", "HEED_PREFILL_CHUNK", "8", [](auto& c) { return c.prefill_chunk == 8; }},
      {"prefix-cache", "HEED_PREFIX_CACHE", "off", [](auto& c) { return !c.prefix_cache; }},
      {"draft-tokens", "HEED_DRAFT_TOKENS", "3", [](auto& c) { return c.draft_tokens == 3; }},
      {"trace-memory-mib", "HEED_TRACE_MEMORY_MIB", "8",
       [](auto& c) { return c.trace_memory_mib == 8; }},
      {"trace-client-mib", "HEED_TRACE_CLIENT_MIB", "8",
       [](auto& c) { return c.trace_client_mib == 8; }},
      {"trace-ttl", "HEED_TRACE_TTL", "90s",
       [](auto& c) { return c.trace_ttl == absl::Seconds(90); }},
      {"inspect-threads", "HEED_INSPECT_THREADS", "3",
       [](auto& c) { return c.inspect_threads == 3; }},
      {"drain-timeout", "HEED_DRAIN_TIMEOUT", "1m",
       [](auto& c) { return c.drain_timeout == absl::Minutes(1); }},
      {"stall-timeout", "HEED_STALL_TIMEOUT", "1500ms",
       [](auto& c) { return c.stall_timeout == absl::Milliseconds(1500); }},
      {"log-level", "HEED_LOG_LEVEL", "debug", [](auto& c) { return c.log_level == "debug"; }},
      {"log-format", "HEED_LOG_FORMAT", "json",
       [](auto& c) { return c.log_format == LogFormat::kJson; }},
  };
  const std::string help = HelpText(84);
  for (const auto& c : cases) {
    EXPECT_TRUE(c.holds(ParseOk({absl::StrCat("--", c.name, "=", c.value)}))) << c.name;
    EXPECT_TRUE(c.holds(ParseOk({absl::StrCat("--", c.name), c.value}))) << c.name;
    EXPECT_TRUE(c.holds(ParseOk({}, {{c.variable, c.value}}))) << c.variable;
    EXPECT_FALSE(c.holds(ParseOk({}))) << c.name;
    EXPECT_THAT(help, HasSubstr(absl::StrCat("--", c.name, "=")));
    EXPECT_THAT(ParseError({absl::StrCat("--", c.name)}), HasSubstr("needs a value"));
  }
  // None is forgotten here: --describe, which serves nothing, is read elsewhere.
  for (absl::string_view line : absl::StrSplit(help, '\n')) {
    EXPECT_LE(line.size(), 84) << line;
    const size_t equals = line.find('=');
    if (!absl::ConsumePrefix(&line, "  --") || equals == absl::string_view::npos) continue;
    const absl::string_view name = line.substr(0, line.find('='));
    const bool is_tried =
        std::any_of(std::begin(cases), std::end(cases), [&](auto& c) { return c.name == name; });
    EXPECT_TRUE(is_tried || name == "describe") << name;
  }
}

TEST(ConfigTest, TheFlagWinsOverTheEnvironment) {
  EXPECT_EQ(ParseOk({"--threads=2"}, {{"HEED_THREADS", "5"}}).threads, 2);
  EXPECT_THAT(ParseOk({"--model=a=/a"}, {{"HEED_MODEL", "b=/b"}}).models,
              ElementsAre(ModelSource{"a", "/a"}));
  EXPECT_EQ(ParseOk({}, {{"HEED_THREADS", ""}}).threads, 0);
  EXPECT_EQ(ParseOk({"--threads=auto"}, {{"HEED_THREADS", "5"}}).threads, 0);
}

TEST(ConfigTest, ModelsRepeatInOrder) {
  EXPECT_THAT(ParseOk({"--model=b=/x/b", "--model", "/y/a/", "--model=c-1.5=rel/a=b"}).models,
              ElementsAre(ModelSource{"b", "/x/b"}, ModelSource{"a", "/y/a/"},
                          ModelSource{"c-1.5", "rel/a=b"}));
  EXPECT_THAT(ParseOk({}, {{"HEED_MODEL", "b=/b,/a"}}).models,
              ElementsAre(ModelSource{"b", "/b"}, ModelSource{"a", "/a"}));
  // An equals sign behind a slash belongs to the folder.
  EXPECT_THAT(ParseOk({"--model=/x/y=z"}).models, ElementsAre(ModelSource{"y-z", "/x/y=z"}));
  EXPECT_THAT(ParseOk({"--model=/x/Big-Q4_K_M.gguf"}).models,
              ElementsAre(ModelSource{"big-q4_k_m", "/x/Big-Q4_K_M.gguf"}));
}

TEST(ConfigTest, KeysAndValuesAreKeptAsSaidForAllModelsAndForOne) {
  const ServerConfig config = ParseOk({"--kv-cache-type=int8", "--kv-cache-type=a=f16"});
  EXPECT_EQ(config.kv_type_of("a"), KvType::kF16);
  EXPECT_EQ(config.kv_type_of("b"), KvType::kInt8);
  EXPECT_EQ(ParseOk({}).kv_type_of("a"), KvType::kF32);
}

TEST(ConfigTest, WeightsAreHeldAsSaidForAllModelsAndForOne) {
  const ServerConfig config = ParseOk({"--weights=int4", "--weights=a=f16", "--weights=b=auto"});
  EXPECT_EQ(config.weights_of("a"), WeightFormat::kF16);
  EXPECT_EQ(config.weights_of("b"), WeightFormat::kAsStored);
  EXPECT_EQ(config.weights_of("c"), WeightFormat::kInt4);
  EXPECT_EQ(ParseOk({}).weights_of("a"), WeightFormat::kAsStored);
  const ServerConfig set =
      ParseOk({}, {{"HEED_WEIGHTS", "int4,a=f16,b=int8"}, {"HEED_KV_CACHE_TYPE", "a=int8,f16"}});
  EXPECT_EQ(set.weights_of("b"), WeightFormat::kInt8);
  EXPECT_EQ(set.weights_of("c"), WeightFormat::kInt4);
  EXPECT_EQ(set.kv_type_of("a"), KvType::kInt8);
  EXPECT_EQ(set.kv_type_of("b"), KvType::kF16);
}

// Also those that this machine lacks: that is looked at later.
TEST(ConfigTest, AllInstructionsHaveNames) {
  for (const char* isa : {"auto", "amx", "avx512", "avxvnni", "avx2", "portable"}) {
    EXPECT_EQ(ParseOk({std::string("--isa=") + isa}).isa, isa);
  }
}

TEST(ConfigTest, WrongValuesSayWhatIsRight) {
  const struct {
    const char* flag;
    const char* says;
  } cases[] = {
      {"--listen=50051", "is not host:port"},
      {"--listen=:50051", "is not host:port"},
      {"--listen=localhost:65536", "is not host:port"},
      {"--listen=localhost:-1", "is not host:port"},
      {"--listen=localhost:", "is not host:port"},
      {"--listen=::1:80", "write [::1]:80"},
      {"--model=a=", "names no folder"},
      {"--model=A b=/x", "is no name for a model"},
      {"--model=/x/...", "--model=name=/x/..."},
      {"--model=", "names no folder"},
      {"--threads=-1", "in [0, 1024]"},
      {"--threads=1025", "in [0, 1024]"},
      {"--threads=two", "is neither auto nor a whole number in [0, 1024]"},
      {"--isa=sse9", "no kernels named 'sse9'; say auto, amx, avx512, avxvnni, avx2 or portable"},
      {"--kv-cache-mib=0", "in [1, "},
      {"--max-prompt-bytes=0", "is not a size"},
      {"--max-prompt-bytes=2GiB", "is not a size"},
      {"--max-prompt-bytes=1.5MiB", "is not a size"},
      {"--max-attention-bytes=-1", "is not a size"},
      {"--max-attention-bytes=9000000000GiB", "is not a size"},
      {"--max-queued=0", "in [1, "},
      {"--max-step-tokens=1", "in [2, "},
      {"--max-batch-sequences=5000", "in [1, 4096]"},
      {"--drain-timeout=10", "is not a duration"},
      {"--drain-timeout=-1s", "is not a duration"},
      {"--drain-timeout=inf", "is not a duration"},
      {"--stall-timeout=0s", "is not a duration"},
      {"--log-level=loud", "debug, info"},
      {"--prefix-cache=yes", "\"yes\" is not one of on, off"},
      {"--weights=int2", "\"int2\" is not one of auto, f32, f16, int8, int4"},
      {"--weights=a=", "auto, f32, f16, int8, int4"},
      {"--kv-cache-type=int4", "\"int4\" is not one of f32, f16, int8"},
      {"--log-format=xml", "auto, text, json"},
      {"model", "--model=model"},
      {"--", "unexpected argument"},
      {"-h", "flags have two dashes, as --help"},
  };
  for (const auto& c : cases) EXPECT_THAT(ParseError({c.flag}), HasSubstr(c.says)) << c.flag;
  EXPECT_THAT(ParseError({"--model=a=/x", "--model=a=/y"}), HasSubstr("two models"));
  EXPECT_THAT(ParseError({}, {{"HEED_THREADS", "x"}}), HasSubstr("HEED_THREADS: "));
}

TEST(ConfigTest, AnUnknownFlagSuggestsTheNearest) {
  EXPECT_THAT(ParseError({"--lisen=x"}), HasSubstr("Did you mean --listen?"));
  EXPECT_THAT(ParseError({"--max-prompt-byte=1"}), HasSubstr("Did you mean --max-prompt-bytes?"));
  EXPECT_THAT(ParseError({"--zzzzzzzzzz"}), testing::Not(HasSubstr("Did you mean")));
}

TEST(ConfigTest, HelpAndVersionDoNotNeedTheRestToBeRight) {
  EXPECT_EQ(Parse({"--help", "--nonsense"})->action, CommandLine::Action::kShowHelp);
  EXPECT_EQ(Parse({"--version"}, {{"HEED_THREADS", "x"}})->action,
            CommandLine::Action::kShowVersion);
}

TEST(ConfigTest, DescribeTakesAPathAndTheOptionsOfLoading) {
  for (const auto& args : std::vector<std::vector<std::string>>{
           {"--describe=/models/x.gguf", "--json", "--kv-cache-mib=3"},
           {"--json", "--kv-cache-mib", "3", "--describe", "/models/x.gguf"}}) {
    const auto line = Parse(args);
    ASSERT_TRUE(line.ok()) << line.status();
    EXPECT_EQ(line->action, CommandLine::Action::kDescribe);
    EXPECT_EQ(line->describe, "/models/x.gguf");
    EXPECT_TRUE(line->describe_json);
    EXPECT_EQ(line->config.kv_cache_mib, 3);
  }
  EXPECT_FALSE(Parse({"--describe=x"})->describe_json);
  EXPECT_THAT(ParseError({"--describe"}), HasSubstr("needs a value: --describe=PATH"));
  EXPECT_THAT(ParseError({"--describe="}), HasSubstr("needs a path: --describe=PATH"));
  EXPECT_THAT(ParseError({"--describe=x", "--nonsense"}), HasSubstr("unknown flag"));
  EXPECT_THAT(ParseError({"--json"}), HasSubstr("--describe=PATH only"));
}

TEST(ConfigTest, ASwitchNeedsNoValueAndTakesNoneFromTheNextArgument) {
  EXPECT_FALSE(ParseOk({}).allow_missing);
  const ServerConfig config = ParseOk({"--allow-missing", "--threads=2"});
  EXPECT_TRUE(config.allow_missing);
  EXPECT_EQ(config.threads, 2);
  EXPECT_TRUE(ParseOk({}, {{"HEED_ALLOW_MISSING", "1"}}).allow_missing);
  EXPECT_FALSE(ParseOk({"--allow-missing=false"}, {{"HEED_ALLOW_MISSING", "1"}}).allow_missing);
  EXPECT_THAT(ParseError({"--allow-missing=perhaps"}), HasSubstr("\"perhaps\" is not true or"));
}

TEST(ConfigTest, VariablesThatSetNothingAreNamedWithTheNearestThatDoes) {
  EXPECT_EQ(UnknownVariablesWarning({"PATH=/bin", "HEED_LISTEN=x", "HEED_SERVER=localhost:1",
                                     "HEED_KV_CACHE_MIB=8", "HEED_LISTN=", "HEEDED=x"}),
            "");
  EXPECT_EQ(UnknownVariablesWarning({"HEED_THREAD=secret=2", "HEED_KV_CACHE_MB=8",
                                     "HEED_SOMETHING_ELSE=1", "HEED_LISTEN=x"}),
            "environment variables that set nothing: HEED_KV_CACHE_MB (did you mean "
            "HEED_KV_CACHE_MIB?), HEED_SOMETHING_ELSE, HEED_THREAD (did you mean HEED_THREADS?); "
            "--help lists the flags, each of which is a variable too");
}

TEST(ConfigTest, VariablesOfAServiceCalledHeedAreNotTakenForSettings) {
  EXPECT_EQ(
      UnknownVariablesWarning(
          {"HEED_SERVICE_HOST=10.0.0.11", "HEED_SERVICE_PORT=50051", "HEED_SERVICE_PORT_GRPC=50051",
           "HEED_PORT=tcp://10.0.0.11:50051", "HEED_PORT_50051_TCP=tcp://10.0.0.11:50051",
           "HEED_PORT_50051_TCP_PROTO=tcp", "HEED_PORT_50051_TCP_PORT=50051",
           "HEED_PORT_50051_TCP_ADDR=10.0.0.11", "HEED_SERVER_SERVICE_HOST=10.0.0.11"}),
      "");
  EXPECT_NE(UnknownVariablesWarning({"HEED_PORT=50051"}), "");
}

}  // namespace
}  // namespace heed
