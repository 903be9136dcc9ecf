#include "client/cli/base/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/base/token_text.h"

namespace heed::cli {
namespace {

constexpr char kDefaultServer[] = "127.0.0.1:50051";
constexpr char kServerVariable[] = "SERVER";  // behind HEED_

absl::StatusOr<ColorChoice> ParseColor(const std::string& text) {
  if (text == "auto") return ColorChoice::kAuto;
  if (text == "always") return ColorChoice::kAlways;
  if (text == "never") return ColorChoice::kNever;
  return UsageError(absl::StrCat("--color is \"", text, "\"; expected auto, always or never."));
}

}  // namespace

std::vector<OptionSpec> GlobalOptions() {
  return {
      {"server", "HOST:PORT", "Server to ask; default HEED_SERVER, then 127.0.0.1:50051."},
      {"model", "NAME", "Model to ask; default: the server's first."},
      {"json", "", "Print JSON: one value, or one a line for generate."},
      {"deadline", "TIME", "Give up after this long, for example 2s or 250ms."},
      {"color", "WHEN", "Use colours: auto (default), always or never. NO_COLOR turns them off."},
      {"help", "", "Show this help."},
  };
}

absl::StatusOr<Session> Session::Create(const Arguments& arguments,
                                        const Environment& environment) {
  Session session;
  session.environment_ = environment;
  session.json_ = arguments.Has("json");
  session.model_ = arguments.String("model");
  session.server_ =
      arguments.String("server", environment.server.empty() ? kDefaultServer : environment.server);
  const auto deadline = arguments.Duration("deadline");
  if (!deadline.ok()) return deadline.status();
  session.deadline_ = *deadline;
  const auto choice = ParseColor(arguments.String("color", "auto"));
  if (!choice.ok()) return choice.status();
  for (Terminal* terminal :
       {&session.environment_.out_terminal, &session.environment_.err_terminal}) {
    terminal->color = DetectColor(terminal->is_terminal, *choice, environment.variables);
    terminal->dark_background = HasDarkBackground(environment.variables);
  }
  return session;
}

// The default server is asked where one may have been named.
void Session::WarnOfMisspelling() {
  if (server_ != kDefaultServer) return;
  for (const std::string& name : environment_.heed_variables) {
    if (name == kServerVariable || !Nearest(name, {kServerVariable})) continue;
    err() << Paragraph(err_terminal(),
                       absl::StrCat("heed: asking ", server_, ": HEED_", SafeText(name),
                                    " is set, which nothing reads; did you mean HEED_",
                                    kServerVariable, "?"))
          << std::flush;
  }
}

absl::StatusOr<Client*> Session::client() {
  if (client_ == nullptr) {
    WarnOfMisspelling();
    ClientOptions options;
    options.user_agent = "heed-cli";
    if (deadline_) options.connect_timeout = std::min(options.connect_timeout, *deadline_);
    auto client = Client::Connect(server_, options);
    if (absl::IsInvalidArgument(client.status())) {  // the address, from --server or HEED_SERVER
      return UsageError(absl::StrCat(client.status().message(), "."));
    }
    if (!client.ok()) return client.status();
    client_ = *std::move(client);
  }
  return client_.get();
}

CallOptions Session::call_options() const {
  return {deadline_, environment_.cancel};
}

}  // namespace heed::cli
