// heed bench: how a server fares under load.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/cli/base/format.h"
#include "client/cli/base/progress.h"
#include "client/cli/bench/bench_load.h"
#include "client/cli/bench/bench_output.h"
#include "client/cli/bench/bench_report.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

constexpr LengthRange kDefaultPrompt = {128, 128}, kDefaultAnswer = {64, 64};

// "N" or "A-B".
absl::StatusOr<std::optional<LengthRange>> ReadRange(const Arguments& arguments,
                                                     const std::string& name) {
  if (!arguments.Has(name)) return std::nullopt;
  const std::string text = arguments.String(name);
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('-', 1));
  LengthRange range;
  if (!absl::SimpleAtoi(parts.front(), &range.least) ||
      !absl::SimpleAtoi(parts.back(), &range.most) || range.least < 1 || range.most < range.least ||
      range.most > (int64_t{1} << 30)) {
    return UsageError(absl::StrCat("--", name, " is \"", text,
                                   "\"; expected a number of tokens, 1 or more, as 128, or two, "
                                   "as 64-256."));
  }
  return range;
}

absl::Status ReadLoop(const Arguments& arguments, LoadPlan& plan) {
  const auto streams = arguments.Int("streams", 1, kMaxCallsInFlight);
  if (!streams.ok()) return streams.status();
  plan.streams = static_cast<int>(streams->value_or(plan.streams));
  if (!arguments.Has("rate")) return absl::OkStatus();
  if (streams->has_value()) return UsageError("--rate and --streams are two loops; give one.");
  const std::string text = arguments.String("rate");
  double rate = 0;
  if (!absl::SimpleAtod(text, &rate) || !(rate > 0 && rate <= 1e5)) {
    return UsageError(absl::StrCat("--rate is \"", text,
                                   "\"; expected a number of calls a second, above 0 and at most "
                                   "100000."));
  }
  plan.rate = rate;
  return absl::OkStatus();
}

absl::Status ReadLength(const Arguments& arguments, LoadPlan& plan) {
  const auto duration = arguments.Duration("duration");
  if (!duration.ok()) return duration.status();
  const auto calls = arguments.Int("calls", 1, int64_t{1} << 30);
  if (!calls.ok()) return calls.status();
  if (duration->has_value() && calls->has_value()) {
    return UsageError("--duration and --calls both say when to end; give one.");
  }
  plan.duration = duration->value_or(absl::Seconds(10));
  plan.calls = *calls;
  if (arguments.String("warm-up") == "0") return absl::OkStatus();
  const auto warm_up = arguments.Duration("warm-up");
  if (!warm_up.ok()) return warm_up.status();
  plan.warm_up = warm_up->value_or(absl::Seconds(1));
  return absl::OkStatus();
}

absl::Status ReadSampling(const Arguments& arguments, LoadPlan& plan) {
  const auto temperature = arguments.Float("temperature");
  if (!temperature.ok()) return temperature.status();
  if (*temperature && !(**temperature >= 0 && **temperature <= 100)) {
    return UsageError(absl::StrCat("--temperature is ", **temperature, "; must be in [0, 100]."));
  }
  const auto top_p = arguments.Float("top-p");
  if (!top_p.ok()) return top_p.status();
  if (*top_p && !(**top_p > 0 && **top_p <= 1)) {
    return UsageError(absl::StrCat("--top-p is ", **top_p, "; must be above 0 and at most 1."));
  }
  plan.temperature = *temperature;
  plan.top_p = *top_p;
  return absl::OkStatus();
}

// What the model can take decides what is not given.
absl::Status ReadTokens(const Arguments& arguments, const ModelInfo& model, LoadPlan& plan) {
  const auto prompt = ReadRange(arguments, "prompt-tokens");
  if (!prompt.ok()) return prompt.status();
  const auto answer = ReadRange(arguments, "max-tokens");
  if (!answer.ok()) return answer.status();
  const auto shared = arguments.Int("shared-prefix", 0, int64_t{1} << 30);
  if (!shared.ok()) return shared.status();
  const int64_t half = std::max<int64_t>(model.context_window / 2, 1);
  const auto at_most_half = [&](const LengthRange& range) {
    return LengthRange{std::min(range.least, half), std::min(range.most, half)};
  };
  plan.prompt_tokens = prompt->value_or(at_most_half(kDefaultPrompt));
  plan.new_tokens = answer->value_or(at_most_half(kDefaultAnswer));
  plan.shared_tokens = shared->value_or(0);
  if (plan.shared_tokens > plan.prompt_tokens.least) {
    return UsageError(absl::StrCat("--shared-prefix is ", plan.shared_tokens,
                                   ", but a prompt may have only ", plan.prompt_tokens.least,
                                   " tokens.\nMake it smaller, or --prompt-tokens larger."));
  }
  const int64_t needed = plan.prompt_tokens.most + plan.new_tokens.most;
  if (needed <= model.context_window) return absl::OkStatus();
  return UsageError(absl::StrCat(
      "a prompt and its answer may take ", needed, " tokens, but the model's context window has ",
      model.context_window, ".\nMake --prompt-tokens or --max-tokens smaller."));
}

absl::Status CheckCanGenerate(const ModelInfo& model) {
  const std::vector<Capability>& can = model.capabilities;
  if (std::find(can.begin(), can.end(), Capability::kGenerate) != can.end()) {
    return absl::OkStatus();
  }
  const auto name = [](std::string* out, Capability one) { absl::StrAppend(out, Name(one)); };
  return absl::FailedPreconditionError(absl::StrCat(
      model.identity.name, " cannot generate; it can ", absl::StrJoin(can, ", ", name)));
}

absl::StatusOr<LoadPlan> ReadPlan(const Arguments& arguments, Session& session) {
  LoadPlan plan;
  for (auto* read : {ReadLoop, ReadLength, ReadSampling}) {
    if (absl::Status status = read(arguments, plan); !status.ok()) return status;
  }
  const auto seed = arguments.Int("seed", 0);
  if (!seed.ok()) return seed.status();
  // Another each time: a server that remembers prefixes has seen the prompts of the last one.
  plan.seed = seed->value_or(absl::ToUnixMicros(absl::Now()) % 1'000'000);
  auto client = session.client();
  if (!client.ok()) return client.status();
  const auto model = (*client)->GetModel(session.model(), session.call_options());
  if (!model.ok()) return model.status();
  if (absl::Status status = CheckCanGenerate(*model); !status.ok()) return status;
  plan.model = model->identity.name;
  plan.vocabulary_size = model->vocabulary_size;
  if (absl::Status status = ReadTokens(arguments, *model, plan); !status.ok()) return status;
  return plan;
}

absl::StatusOr<BenchLimits> ReadLimits(const Arguments& arguments) {
  BenchLimits limits;
  for (const auto& [name, limit] : {std::pair{"first-token-limit", &limits.first_token},
                                    std::pair{"token-limit", &limits.mean_gap}}) {
    const auto time = arguments.Duration(name);
    if (!time.ok()) return time.status();
    *limit = *time;
  }
  return limits;
}

// Further clients, each with a connection of its own, which its first call makes.
absl::StatusOr<std::vector<std::unique_ptr<Client>>> MoreClients(int count,
                                                                 const std::string& server) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < count; ++i) {
    ClientOptions options;
    options.connect_timeout = absl::ZeroDuration();
    // Channels that are alike in everything share one connection.
    options.user_agent = absl::StrCat("heed-cli-", i + 2);
    auto client = Client::Connect(server, options);
    if (!client.ok()) return client.status();
    clients.push_back(*std::move(client));
  }
  return clients;
}

absl::Status RunBench(const Arguments& arguments, Session& session) {
  const auto limits = ReadLimits(arguments);
  if (!limits.ok()) return limits.status();
  const auto plan = ReadPlan(arguments, session);
  if (!plan.ok()) return plan.status();
  const auto more = MoreClients(ConnectionCount(*plan) - 1, session.server());
  if (!more.ok()) return more.status();
  std::vector<Client*> clients = {*session.client()};
  for (const auto& client : *more) clients.push_back(client.get());
  Progress progress(session, "heed bench: calls are running");
  const LoadResult load =
      RunLoad(clients, session.call_options(), *plan, [&](double done) { progress.Update(done); });
  progress.Stop();
  const BenchReport report = Summarize(load.calls, load.window, *limits);
  const bool nothing = report.calls == 0;
  // People are not shown a table of nothing.
  if (!nothing || session.json()) ShowBench({*plan, *limits, report, load.interrupted}, session);
  if (nothing && !load.interrupted) {
    return absl::FailedPreconditionError(
        "no call was measured: none began in that time.\n"
        "Make --duration longer, or --rate higher.");
  }
  if (nothing && !session.json()) return absl::CancelledError("no call was measured");
  if (nothing || report.failed < report.calls) return absl::OkStatus();
  // Not one call was answered: that is what is to be known, before any number.
  const auto failed = std::find_if(load.calls.begin(), load.calls.end(),
                                   [](const BenchCall& call) { return !call.status.ok(); });
  return failed->status;
}

}  // namespace

Verb BenchVerb() {
  return {
      .name = "bench",
      .summary = "Put load on a server and measure how it answers.",
      .description =
          "Sends generations with random prompts and reports how long the first token and those "
          "after it took, how many came in a second, and how many calls were as fast as they were "
          "to be. A closed loop (--streams) sends a call when the last is answered; an open one "
          "(--rate) sends them at random times, answered or not, as many people would; what a call "
          "waits to be sent counts. Ctrl-C ends it with the report so far.",
      .example = "heed bench --rate=5 --duration=30s --first-token-limit=500ms --token-limit=50ms",
      .options = {{"streams", "N", "Closed loop: N calls at a time; default 4."},
                  {"rate", "R", "Open loop: R calls a second on average, arriving at random."},
                  {"duration", "TIME", "How long to measure; default 10s."},
                  {"calls", "N", "Measure N calls instead."},
                  {"warm-up", "TIME", "Load that is not measured before; default 1s, 0 for none."},
                  {"prompt-tokens", "N",
                   "Tokens of each prompt; A-B draws from A to B. Default 128."},
                  {"max-tokens", "N", "Tokens of each answer; A-B draws from A to B. Default 64."},
                  {"shared-prefix", "N", "All prompts begin with the same N tokens; default 0."},
                  {"temperature", "T",
                   "Draw the answers as generate does; default 0, the best tokens, which repeat "
                   "themselves more, so that more of them come from drafts."},
                  {"top-p", "P", "Draw from the most probable tokens, as generate does."},
                  {"first-token-limit", "TIME",
                   "Goodput counts calls whose first token came within TIME."},
                  {"token-limit", "TIME",
                   "And those whose further tokens came every TIME on average."},
                  {"seed", "N", "Draw the same prompts, lengths, times and answers again."}},
      .run = RunBench};
}

}  // namespace heed::cli
