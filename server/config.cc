#include "server/config.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "model/base/cpu.h"
#include "model/base/layer_names.h"
#include "model/base/status_macros.h"
#include "server/engine/nearest_name.h"
#include "server/engine/registry.h"
#include "server/wrap.h"

namespace heed {
namespace {

// Sets one option from its text. The error continues "--flag: ".
using Setter = std::function<absl::Status(absl::string_view text, ServerConfig* config)>;

struct Flag {
  std::string name;
  std::string placeholder;  // empty for a switch
  std::string help;         // ends with the default
  Setter set;
};

absl::StatusOr<int64_t> ParseInteger(absl::string_view text, int64_t low, int64_t high) {
  int64_t value = 0;
  if (absl::SimpleAtoi(text, &value) && value >= low && value <= high) return value;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a whole number in [", low, ", ", high, "]"));
}

template <typename T>
Setter Integer(T ServerConfig::*field, int64_t low, int64_t high) {
  return [=](absl::string_view text, ServerConfig* config) {
    HEED_ASSIGN_OR_RETURN(const int64_t value, ParseInteger(text, low, high));
    config->*field = static_cast<T>(value);
    return absl::OkStatus();
  };
}

// A number of bytes with an optional unit.
Setter Bytes(int64_t ServerConfig::*field, int64_t low, int64_t high) {
  return [=](absl::string_view text, ServerConfig* config) {
    int64_t unit = 1;
    absl::string_view digits = text;
    if (absl::ConsumeSuffix(&digits, "KiB")) unit = int64_t{1} << 10;
    if (absl::ConsumeSuffix(&digits, "MiB")) unit = int64_t{1} << 20;
    if (absl::ConsumeSuffix(&digits, "GiB")) unit = int64_t{1} << 30;
    int64_t value = 0;
    if (!absl::SimpleAtoi(digits, &value) || value < low / unit || value > high / unit ||
        value * unit < low) {
      return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a size in [", low, ", ",
                                                     high, "] bytes, such as 1048576 or 1MiB"));
    }
    config->*field = value * unit;
    return absl::OkStatus();
  };
}

Setter Time(absl::Duration ServerConfig::*field, absl::Duration low) {
  return [=](absl::string_view text, ServerConfig* config) {
    absl::Duration value;
    const bool parsed = absl::ParseDuration(text, &value);
    if (!parsed || value < low || value > absl::Hours(24)) {
      return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a duration in [",
                                                     absl::FormatDuration(low),
                                                     ", 24h], such as 10s or 500ms"));
    }
    config->*field = value;
    return absl::OkStatus();
  };
}

Setter Text(std::string ServerConfig::*field) {
  return [=](absl::string_view text, ServerConfig* config) {
    config->*field = std::string(text);
    return absl::OkStatus();
  };
}

// A switch: true when nothing else is said.
Setter Switch(bool ServerConfig::*field) {
  return [=](absl::string_view text, ServerConfig* config) {
    if (absl::SimpleAtob(text, &(config->*field))) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not true or false"));
  };
}

Setter OnOff(bool ServerConfig::*field) {
  return [=](absl::string_view text, ServerConfig* config) {
    config->*field = text == "on";
    if (text == "on" || text == "off") return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not one of on, off"));
  };
}

absl::Status SetListen(absl::string_view text, ServerConfig* config) {
  const size_t colon = text.rfind(':');
  int64_t port = -1;
  if (colon == absl::string_view::npos || colon == 0 ||
      !absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text, "\" is not host:port, such as 127.0.0.1:50051, 0.0.0.0:50051 or [::]:0"));
  }
  const absl::string_view host = text.substr(0, colon);
  if (absl::StrContains(host, ':') && (host.front() != '[' || host.back() != ']')) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" has colons in its host; write [",
                                                   host, "]:", text.substr(colon + 1)));
  }
  config->listen = std::string(text);
  return absl::OkStatus();
}

absl::StatusOr<ModelSource> ParseModelSource(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('=', 1));
  ModelSource source;
  if (text.find('=') != absl::string_view::npos &&
      parts.first.find('/') == absl::string_view::npos) {
    source = {std::string(parts.first), std::string(parts.second)};
  } else {
    source = {ModelNameOf(std::string(text)), std::string(text)};
  }
  if (source.folder.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" names no folder; write --model=name=folder"));
  }
  if (!IsValidModelName(source.name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", source.name,
                     "\" is no name for a model; names are 1 to 64 of a-z 0-9 . _ - and begin with",
                     " a letter or digit. Give one: --model=name=", source.folder));
  }
  return source;
}

absl::Status AddModel(absl::string_view text, ServerConfig* config) {
  HEED_ASSIGN_OR_RETURN(ModelSource source, ParseModelSource(text));
  for (const ModelSource& other : config->models) {
    if (other.name == source.name) {
      return absl::InvalidArgumentError(
          absl::StrCat("two models are called \"", source.name,
                       "\"; rename one: --model=other=", source.folder));
    }
  }
  config->models.push_back(std::move(source));
  return absl::OkStatus();
}

// FORMAT for all models, or NAME=FORMAT for one.
absl::Status SetWeights(absl::string_view text, ServerConfig* config) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  HEED_ASSIGN_OR_RETURN(const WeightFormat format, ParseWeightFormat(parts.back()));
  if (parts.size() == 1) {
    config->weights = format;
  } else {
    config->weights_by_model[parts.front()] = format;
  }
  return absl::OkStatus();
}

// TYPE for all models, or NAME=TYPE for one.
absl::Status SetKvType(absl::string_view text, ServerConfig* config) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  HEED_ASSIGN_OR_RETURN(const KvType type, ParseKvType(parts.back()));
  if (parts.size() == 1) {
    config->kv_type = type;
  } else {
    config->kv_type_by_model[parts.front()] = type;
  }
  return absl::OkStatus();
}

absl::Status SetThreads(absl::string_view text, ServerConfig* config) {
  if (text == "auto") text = "0";
  if (Integer(&ServerConfig::threads, 0, 1024)(text, config).ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is neither auto nor a whole number in [0, 1024]"));
}

// Whether this machine has them is looked at when it starts.
absl::Status SetIsa(absl::string_view text, ServerConfig* config) {
  const CpuFacts any{.isa = Isa::kAvx512, .avx_vnni = true, .avx512_vnni = true, .amx = true};
  config->isa = std::string(text);
  return HoldTo(text, any).status();
}

absl::Status SetLogLevel(absl::string_view text, ServerConfig* config) {
  for (absl::string_view level : {"debug", "info", "warning", "error", "off"}) {
    if (text != level) continue;
    config->log_level = std::string(text);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not one of debug, info, warning, error, off"));
}

absl::Status SetLogFormat(absl::string_view text, ServerConfig* config) {
  if (text == "auto") {
    config->log_format = LogFormat::kAuto;
  } else if (text == "text") {
    config->log_format = LogFormat::kText;
  } else if (text == "json") {
    config->log_format = LogFormat::kJson;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not one of auto, text, json"));
  }
  return absl::OkStatus();
}

constexpr int64_t kMaxBytes = int64_t{1} << 40;

const std::vector<Flag>& Flags() {
  static const auto* const flags = new std::vector<Flag>{
      {"listen", "HOST:PORT",
       "Address to serve on; port 0 takes a free one. Default 127.0.0.1:50051.", SetListen},
      {"port-file", "FILE", "Writes the port here once the server answers. Default: nowhere.",
       Text(&ServerConfig::port_file)},
      {"model", "[NAME=]FOLDER",
       "A Hugging Face folder or a GGUF file to serve, by the name given or one made of its path; "
       "repeat it for more. The first is the default model. Default: the shipped models.",
       AddModel},
      {"models-dir", "DIR",
       "Serves every model folder and GGUF file in DIR as well. Default: none.",
       Text(&ServerConfig::models_dir)},
      {"allow-missing", "",
       "Starts without the models that cannot be loaded, with a warning for each. Default: one "
       "such "
       "model is an error.",
       Switch(&ServerConfig::allow_missing)},
      {"weights", "[NAME=]FORMAT",
       "How weights are held and computed with: f32; f16, int8 or int4, rounded; or auto: "
       "quantised "
       "GGUF files in 8 or 4 bits as they are, everything else f32. Of one model or of all; repeat "
       "it for more. Default auto.",
       SetWeights},
      {"pack-cache", "DIR",
       "Keeps a copy of each model's weights there, in the layout they are computed with, so that "
       "the next start is faster. It is made anew when the model has changed or the copy is "
       "damaged. Default: none.",
       Text(&ServerConfig::pack_cache)},
      {"threads", "N",
       "Threads of the engine; auto or 0: as many as the cgroup's CPU quota, rounded up, and the "
       "affinity allow. Default auto.",
       SetThreads},
      {"isa", "NAME",
       "The best instructions that are used, oneDNN's included: amx, avx512, avxvnni, avx2, "
       "portable, or auto for all that this machine has. Default auto.",
       SetIsa},
      {"kv-cache-mib", "N",
       "Memory for keys and values, of each model; taken from the system a little before it is "
       "needed, at most four context windows ahead. Default 256.",
       Integer(&ServerConfig::kv_cache_mib, 1, kMaxBytes >> 20)},
      {"kv-cache-type", "[NAME=]TYPE",
       "How keys and values are kept: f32, f16, or int8 with a scale for each head of each token. "
       "Twice or nearly four times as many tokens fit into the same memory, and long ones are read "
       "faster. Of one model or of all; repeat it for more. Default f32.",
       SetKvType},
      {"max-prompt-bytes", "BYTES", "Longest text of a request. Default 1MiB.",
       Bytes(&ServerConfig::max_prompt_bytes, 1, int64_t{1} << 30)},
      {"max-attention-bytes", "BYTES",
       "Most attention that one call may hold. GetAttention computes more as it is read, from a "
       "run that is kept meanwhile; Generate refuses it. Default 256MiB.",
       Bytes(&ServerConfig::max_attention_bytes, 1, kMaxBytes)},
      {"max-queued", "N", "Calls that may wait for the engine. Default 256.",
       Integer(&ServerConfig::max_queued, 1, 1 << 20)},
      {"max-batch-sequences", "N", "Calls that run together, of each model. Default 64.",
       Integer(&ServerConfig::max_batch_sequences, 1, 4096)},
      {"max-step-tokens", "N",
       "Tokens of one engine step: at least 2, so that a prompt that is read and a call that "
       "generates both go on. Default 256.",
       Integer(&ServerConfig::max_step_tokens, 2, 1 << 20)},
      {"prefill-chunk", "N",
       "Prompt tokens of one call in a step while others generate. Default 128.",
       Integer(&ServerConfig::prefill_chunk, 1, 1 << 20)},
      {"prefix-cache", "on|off",
       "Whether a prompt that begins like an earlier one begins with what was computed for that. "
       "Answers are the same to the bit, but how fast one comes tells that somebody has asked "
       "something like it: off where clients must not learn that. Default on.",
       OnOff(&ServerConfig::prefix_cache)},
      {"draft-tokens", "N",
       "Most tokens that a step guesses of an answer, from what followed the same words before, "
       "and runs along with the one that is due. Answers are the same to the bit, and come faster "
       "where a text repeats itself. 0: none. Default 15.",
       Integer(&ServerConfig::draft_tokens, 0, 15)},
      {"trace-memory-mib", "N",
       "Memory for the traces of all clients, and for runs that are only read once. Default 1024.",
       Integer(&ServerConfig::trace_memory_mib, 1, kMaxBytes >> 20)},
      {"trace-client-mib", "N",
       "The share of it that one client (one address) may take. Default 512.",
       Integer(&ServerConfig::trace_client_mib, 1, kMaxBytes >> 20)},
      {"trace-ttl", "DURATION", "How long a trace is kept unless it is renewed. Default 10m.",
       Time(&ServerConfig::trace_ttl, absl::Milliseconds(1))},
      {"inspect-threads", "N",
       "Threads that read traces and run experiments, beside those that serve. Default 2.",
       Integer(&ServerConfig::inspect_threads, 1, 1024)},
      {"drain-timeout", "DURATION", "How long calls may go on after SIGTERM. Default 10s.",
       Time(&ServerConfig::drain_timeout, absl::ZeroDuration())},
      {"stall-timeout", "DURATION",
       "How long a stream may go unread before it is ended. Default 30s.",
       Time(&ServerConfig::stall_timeout, absl::Milliseconds(1))},
      {"log-level", "LEVEL", "debug, info, warning, error or off. Default info.", SetLogLevel},
      {"log-format", "FORMAT",
       "text, json, or auto: text on a terminal, JSON lines elsewhere. Default auto.",
       SetLogFormat},
  };
  return *flags;
}

const Flag* FindFlag(absl::string_view name) {
  for (const Flag& flag : Flags()) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

std::string EnvironmentName(const Flag& flag) {
  return absl::StrCat("HEED_", absl::AsciiStrToUpper(absl::StrReplaceAll(flag.name, {{"-", "_"}})));
}

absl::Status UnknownFlag(absl::string_view name) {
  std::vector<std::string> known = {"help", "version", "describe", "json"};
  for (const Flag& flag : Flags()) known.push_back(flag.name);
  const std::string nearest = NearestName(name, known);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown flag --", name, ".",
                   nearest.empty() ? "" : absl::StrCat(" Did you mean --", nearest, "?"),
                   " --help lists all flags."));
}

absl::Status Prefixed(absl::string_view prefix, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(prefix, ": ", status.message()));
}

// One flag of the command line, with its value if it stands in the same argument.
struct Argument {
  absl::string_view name;
  std::optional<absl::string_view> value;
};

absl::StatusOr<Argument> ParseArgument(absl::string_view text) {
  Argument argument;
  argument.name = text;
  if (text.size() > 1 && text[0] == '-' && text[1] != '-') {
    return absl::InvalidArgumentError(
        absl::StrCat("unexpected argument \"", text, "\"; flags have two dashes, as --help"));
  }
  if (!absl::ConsumePrefix(&argument.name, "--") || argument.name.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "unexpected argument \"", text, "\"; a model's folder is given as --model=", text));
  }
  const size_t equals = argument.name.find('=');
  if (equals != absl::string_view::npos) {
    argument.value = argument.name.substr(equals + 1);
    argument.name = argument.name.substr(0, equals);
  }
  return argument;
}

// The value of a flag that needs one: what follows "=", or else the next argument.
absl::StatusOr<std::string> ValueOf(const Argument& argument, absl::string_view placeholder,
                                    absl::Span<const std::string> args, size_t* i) {
  if (argument.value.has_value()) return std::string(*argument.value);
  if (++*i < args.size()) return args[*i];
  return absl::InvalidArgumentError(
      absl::StrCat("--", argument.name, " needs a value: --", argument.name, "=", placeholder));
}

absl::Status SetDescribe(absl::string_view path, CommandLine* out) {
  if (path.empty()) return absl::InvalidArgumentError("--describe needs a path: --describe=PATH");
  out->action = CommandLine::Action::kDescribe;
  out->describe = std::string(path);
  return absl::OkStatus();
}

absl::Status ApplyArguments(absl::Span<const std::string> args, CommandLine* out) {
  for (size_t i = 0; i < args.size(); ++i) {
    HEED_ASSIGN_OR_RETURN(Argument argument, ParseArgument(args[i]));
    if (argument.name == "help" || argument.name == "version") {
      out->action = argument.name == "help" ? CommandLine::Action::kShowHelp
                                            : CommandLine::Action::kShowVersion;
      return absl::OkStatus();
    }
    if (argument.name == "describe") {
      HEED_ASSIGN_OR_RETURN(const std::string path, ValueOf(argument, "PATH", args, &i));
      HEED_RETURN_IF_ERROR(SetDescribe(path, out));
      continue;
    }
    if (argument.name == "json" && !argument.value.has_value()) {
      out->describe_json = true;
      continue;
    }
    const Flag* flag = FindFlag(argument.name);
    if (flag == nullptr) return UnknownFlag(argument.name);
    if (!argument.value.has_value() && flag->placeholder.empty()) argument.value = "true";
    HEED_ASSIGN_OR_RETURN(const std::string value, ValueOf(argument, flag->placeholder, args, &i));
    HEED_RETURN_IF_ERROR(Prefixed(absl::StrCat("--", flag->name), flag->set(value, &out->config)));
  }
  if (!out->describe_json || out->action == CommandLine::Action::kDescribe) return absl::OkStatus();
  return absl::InvalidArgumentError("--json goes with --describe=PATH only");
}

bool IsGiven(absl::Span<const std::string> args, const Flag& flag) {
  const std::string spelled = absl::StrCat("--", flag.name);
  return std::any_of(args.begin(), args.end(), [&](absl::string_view arg) {
    return arg == spelled || absl::StartsWith(arg, spelled + "=");
  });
}

// What may be repeated is a list with commas; flags given on the command line are not looked up.
absl::Status ApplyEnvironment(absl::Span<const std::string> args, const Environment& environment,
                              ServerConfig* config) {
  for (const Flag& flag : Flags()) {
    const std::optional<std::string> value = environment(EnvironmentName(flag));
    if (!value.has_value() || value->empty() || IsGiven(args, flag)) continue;
    const bool repeats =
        flag.name == "model" || flag.name == "weights" || flag.name == "kv-cache-type";
    const std::vector<std::string> items =
        repeats ? std::vector<std::string>(absl::StrSplit(*value, ','))
                : std::vector<std::string>{*value};
    for (const std::string& item : items) {
      HEED_RETURN_IF_ERROR(Prefixed(EnvironmentName(flag), flag.set(item, config)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> EnvironmentNames() {
  std::vector<std::string> names;
  for (const Flag& flag : Flags()) names.push_back(EnvironmentName(flag));
  return names;
}

std::optional<std::string> ProcessEnvironment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

absl::StatusOr<CommandLine> ParseCommandLine(absl::Span<const std::string> args,
                                             const Environment& environment) {
  CommandLine line;
  HEED_RETURN_IF_ERROR(ApplyArguments(args, &line));
  if (line.action == CommandLine::Action::kShowHelp ||
      line.action == CommandLine::Action::kShowVersion) {
    return line;
  }
  HEED_RETURN_IF_ERROR(ApplyEnvironment(args, environment, &line.config));
  return line;
}

std::string HelpText(size_t width) {
  const auto line = [width](size_t indent, absl::string_view text) {
    return Wrapped(std::string(indent, ' '), text, width);
  };
  std::string text = absl::StrCat(
      line(0,
           "heed-server: serves transformer checkpoints over gRPC and shows what they looked at."),
      "\n  heed-server --listen=0.0.0.0:50051 --model=mine=/models/mine\n\n",
      line(0,
           "Each flag can also be set in the environment, for example "
           "HEED_LISTEN=0.0.0.0:50051; what may be repeated is a list with commas there, as "
           "HEED_MODEL=a=/models/a,b=/models/b. A variable HEED_... that is no flag's is named "
           "in a warning. Exit codes: 0 told to stop, 1 something failed, 2 wrong usage."),
      "\n");
  for (const Flag& flag : Flags()) {
    absl::StrAppend(&text, "  --", flag.name, flag.placeholder.empty() ? "" : "=", flag.placeholder,
                    "\n", line(6, flag.help));
  }
  absl::StrAppend(&text, "  --describe=PATH\n",
                  line(6,
                       "Says what is in a model's folder or GGUF file, what it takes to serve "
                       "it, and what heed refuses, without loading it; exits with 1 if it "
                       "refuses it. With --json, as JSON."),
                  "  --help\n  --version\n");
  return text;
}

}  // namespace heed
